"""Modules that a cell's config imports before it is built."""

from collections.abc import Mapping, Sequence
from typing import Any


def with_imports(cfg: dict[str, Any], modules: Sequence[str]) -> dict[str, Any]:
    """A config whose `custom_imports` name these modules too; the input stays as it is."""
    if not modules:
        return cfg
    imports = cfg.get('custom_imports') or {}
    named = list(dict.fromkeys([*imported_modules(cfg), *modules]))
    return {**cfg, 'custom_imports': {**imports, 'imports': named}}


def imported_modules(cfg: Mapping[str, Any]) -> list[str]:
    """The modules that a config's `custom_imports` name."""
    named = (cfg.get('custom_imports') or {}).get('imports') or []
    return [named] if isinstance(named, str) else list(named)
