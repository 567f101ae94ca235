"""A config as a file that stands alone."""

import math
import pprint
from collections.abc import Mapping
from typing import Any


def config_text(cfg: Mapping[str, Any]) -> str:
    """Python source that mmengine reads back as the same config.

    Args:
        cfg: plain data: dicts, lists, tuples, numbers, strings, None.
    """
    parts = []
    if any(map(_is_odd, _leaves(cfg))):
        parts.append("inf, nan = float('inf'), float('nan')")
    parts += [f'{key} = {pprint.pformat(v, width=99, sort_dicts=False)}' for key, v in cfg.items()]
    if len(parts) > len(cfg):
        parts.append('del inf, nan')
    return '\n'.join(parts) + '\n'


def _leaves(value: Any):
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _is_odd(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
