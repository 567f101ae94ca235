"""A config as a file that stands alone, and its fingerprint."""

import hashlib
import json
import math
import pprint
from collections.abc import Mapping
from typing import Any

# What may change between a run and its resumption: it decides nothing.
_LOADER_FREE = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')
_FREE = (
    'work_dir',
    'resume',
    'launcher',
    'log_level',
    'log_processor',
    'visualizer',
    'vis_backends',
    'default_hooks',
    'env_cfg',
)


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


def fingerprint(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Digest of every key of a config that decides what comes out of a run."""
    digests = {}
    for key, value in sorted(cfg.items()):
        if key in _FREE:
            continue
        if key.endswith('_dataloader') and isinstance(value, Mapping):
            value = {k: v for k, v in value.items() if k not in _LOADER_FREE}
        text = json.dumps(value, sort_keys=True, default=repr)
        digests[key] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return digests


def changes(known: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The keys in which two fingerprints differ."""
    return [key for key in sorted({*known, *now}) if known.get(key) != now.get(key)]


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
