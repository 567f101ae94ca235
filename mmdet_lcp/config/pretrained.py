"""`init_cfg` that fetches weights: taken out of what is handed out with weights of its own."""

from collections.abc import Mapping
from typing import Any

_NAMES = ('Pretrained', 'PretrainedInit')  # registered, and its class's


def without_pretrained(value: Any) -> Any:
    """A config, or a part of one, without the weights that it would fetch.

    Args:
        value: of it; types may be names, with or without a scope, or classes.
    """
    if isinstance(value, Mapping):
        return {k: without_pretrained(v) for k, v in value.items() if not is_pretrained(v)}
    if isinstance(value, (list, tuple)):
        return type(value)(without_pretrained(item) for item in value if not is_pretrained(item))
    return value


def is_pretrained(init_cfg: Any) -> bool:
    """Whether an `init_cfg` fetches weights."""
    if not isinstance(init_cfg, Mapping) or 'checkpoint' not in init_cfg:
        return False
    kind = init_cfg.get('type')
    return str(getattr(kind, '__name__', kind)).rpartition('.')[2] in _NAMES
