"""Dicts of a config become objects: every key and type is checked, the nearest valid one named."""

import dataclasses
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.registry import Registry

from mmdet_lcp.config.names import object_named
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.nearest import SIMILAR, nearest_hint
from mmdet_lcp.registry import SCOPE


def section(cfg: Mapping[str, Any], key: str, runner: str, fragments: str) -> Any:
    """What a whole config has under the key that a runner reads.

    Raises:
        CompressionError: it has none; names the key that looks most like it, and the folder of
            ``configs/_base_/`` with the fragments to inherit.
    """
    if key not in cfg:
        raise CompressionError(
            f'the config has no `{key}` key, which {runner} needs.{meant(cfg, key)} '
            f'Inherit a fragment of configs/_base_/{fragments}/.'
        )
    return cfg[key]


def meant(cfg: Mapping[str, Any], key: str) -> str:
    """For a message: asks whether a key that looks like the missing one was meant to be it."""
    return nearest_hint(key, cfg, f' Did you mean `{{}}` to be `{key}`?', SIMILAR)


def check_keys(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Raise a CompressionError that names the nearest valid key for one that nobody reads."""
    for key in given:
        if key not in known:
            near = nearest_hint(key, known, '; the nearest valid one is {!r}')
            raise CompressionError(
                f'{where} has an unknown key {key!r}{near}. Valid keys: {", ".join(known)}'
            )


def check_pattern(pattern: str, where: str) -> None:
    """Raise a CompressionError for something that is no regular expression."""
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise CompressionError(
            f'{where}={pattern!r} is not a regular expression: {error}'
        ) from error


def parse(kind: type, given: Mapping[str, Any], where: str):
    """Build a dataclass from a dict with checked keys."""
    if not isinstance(given, Mapping):
        raise CompressionError(f'{where} must be a dict, not {type(given).__name__}')
    check_keys(given, [f.name for f in dataclasses.fields(kind)], where)
    return kind(**given)


def build(registry: Registry, given: Mapping[str, Any], where: str):
    """Build a registered component; an unknown type or key is an error with the nearest one."""
    if not isinstance(given, Mapping) or 'type' not in given:
        raise CompressionError(f"{where} must be a dict with a 'type'")
    given = dict(given)
    given.pop('_scope_', None)  # mmengine adds it to what comes from another package's config
    kind = given.pop('type')
    if isinstance(kind, str):
        known = registry.module_dict.get(kind.removeprefix(f'{SCOPE}.')) or object_named(kind)
        if known is None:
            names = sorted(registry.module_dict)
            raise CompressionError(
                f'{where}.type={kind!r} is not registered{nearest_hint(kind, names)}. '
                f'Registered: {", ".join(names)}. One of your own is registered when the config '
                "imports its module: custom_imports = dict(imports=['my_module'])"
            )
        kind = known
    if not callable(kind):
        raise CompressionError(f'{where}.type={kind!r} must be a name or a class')
    parameters = inspect.signature(kind).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        check_keys(given, list(parameters), where)
    return kind(**given)
