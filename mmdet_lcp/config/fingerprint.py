"""What the outcome of a run depends on: its config, less what decides nothing.

A run, a chain, a comparison and figures of sensitivity write their fingerprint down when they
begin. Going on with them compares it with the present one: a key that has changed is named, with
both values.
"""

import functools
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from mmengine.config.lazy import LazyAttr, LazyObject

# Keys that may change between a run and its resumption: where it works, what it shows and keeps,
# and on what machine. Everything else decides. `*` stands for any characters.
FREE = (
    'work_dir',
    'resume',
    'accept_changes',
    'launcher',
    'experiment_name',
    'log_level',
    'log_processor',
    'visualizer',
    'vis_backends',
    'default_hooks.logger',
    'default_hooks.timer',
    'default_hooks.checkpoint',
    'default_hooks.visualization',
    'env_cfg',
    'find_unused_parameters',
    'pruning.method',
    'keep_detections',
    'test_dataloader.batch_size',
    'val_dataloader.batch_size',
    '*_dataloader.num_workers',
    '*_dataloader.persistent_workers',
    '*_dataloader.pin_memory',
    '*_dataloader.prefetch_factor',
)
ACCEPTED = 'accept_changes'
WAY = (
    'A change that only mends what stopped the run, and leaves valid what it has done so far, is '
    f'taken with --cfg-options {ACCEPTED}=KEY, or KEY,KEY.'
)
_FORMAT = 2  # before it there were digests of some keys, without a format
_SHOWN = 8
_NAMED = (type, FunctionType, BuiltinFunctionType, MethodType)
_LAZY = (LazyObject, LazyAttr)
_ABSENT = object()


@dataclass(frozen=True)
class Change:
    """A key whose value is not what it was.

    Attributes:
        key: dotted, list items by number: ``custom_hooks[0].momentum``.
        then: the value of the run that has begun, as text.
        now: the present one.
    """

    key: str
    then: str
    now: str

    def __str__(self) -> str:
        return f'{self.key}: {self.then} then, {self.now} now'


def fingerprint(cfg: Mapping[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """What decides the outcome of a config, as data that JSON keeps.

    Classes and functions count by their qualified names, other objects by class and attributes,
    so that two processes find the same.

    Args:
        cfg: a whole config; it is left as it is.
        without: further keys that decide nothing here, written as in `FREE`.
    """
    return {'format': _FORMAT, 'config': _decisive(cfg, (*FREE, *without), '')}


def changes(known: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """The keys in which a fingerprint that was written down differs from the present one.

    Args:
        known: written down; also by an earlier release, which kept a digest of each key. Keys
            that it has no digest of cannot be compared.
        now: from `fingerprint`.
    """
    if is_partial(known):
        return list(_changed_digests(known, now['config']))
    return list(_differences('', known['config'], now['config']))


def is_partial(known: Mapping[str, Any]) -> bool:
    """Whether a fingerprint is of an earlier release, which did not take all keys down."""
    return known.get('format') != _FORMAT


def not_accepted(found: Sequence[Change], accepted: Sequence[str]) -> list[Change]:
    """The changes that no one has said may be.

    Args:
        found: changes.
        accepted: their keys, or keys above them.
    """
    above = tuple(f'{key}{sign}' for key in accepted for sign in '.[')
    return [c for c in found if c.key not in accepted and not c.key.startswith(above)]


def accepted_changes(cfg: Mapping[str, Any]) -> list[str]:
    """The keys that a config says may differ from those of the run that it resumes."""
    given = cfg.get(ACCEPTED) or []
    return [given] if isinstance(given, str) else [str(key) for key in given]


def listed(found: Sequence[Change]) -> str:
    """Changes for a message: a line each, the first ones where there are many."""
    lines = [f'\n  {change}' for change in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f'\n  and {len(found) - _SHOWN} more')
    return ''.join(lines) + '\n'


def plain(value: Any) -> Any:
    """A value of a config as data that JSON keeps, the same in every process.

    Args:
        value: anything; tuples become lists, keys text, and what JSON has no word for text.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value), key=repr)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, _LAZY):
        return plain(value.build())
    if isinstance(value, _NAMED):
        return _name(value)
    if isinstance(value, functools.partial):
        return {'partial': [plain(value.func), plain(value.args), plain(value.keywords)]}
    if hasattr(value, 'tolist'):  # arrays, tensors and their scalars
        return plain(value.tolist())
    text = repr(value)
    if not re.search(r'\bat 0x[0-9a-fA-F]+', text):
        return text
    return {'class': _name(type(value)), **plain(getattr(value, '__dict__', {}))}


def _name(value: Any) -> str:
    return f'{value.__module__}.{value.__qualname__}'


def _decisive(cfg: Mapping[str, Any], free: Sequence[str], above: str) -> dict[str, Any]:
    found = {}
    for key, value in cfg.items():
        path = f'{above}{key}'
        if any(fnmatchcase(path, pattern) for pattern in free):
            continue
        if isinstance(value, _NAMED) and value.__name__ == key:  # a new-style config imports it
            continue
        if isinstance(value, Mapping) and value:
            value = _decisive(value, free, f'{path}.')
            if not value:
                continue
        found[str(key)] = plain(value)
    return found


def _differences(where: str, then: Any, now: Any) -> Iterator[Change]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in sorted({*then, *now}):
            path = f'{where}.{key}' if where else key
            yield from _differences(path, then.get(key, _ABSENT), now.get(key, _ABSENT))
    elif isinstance(then, list) and isinstance(now, list):
        yield from _list_differences(where, then, now)
    elif not _same(then, now):
        yield Change(where, _shown(then), _shown(now))


def _list_differences(where: str, then: list, now: list) -> Iterator[Change]:
    """Item by item; where items were put in or taken out, those between equal ends."""
    if len(then) == len(now):
        for number, pair in enumerate(zip(then, now, strict=True)):
            yield from _differences(f'{where}[{number}]', *pair)
        return
    shorter = min(len(then), len(now))
    first = next((i for i in range(shorter) if not _same(then[i], now[i])), shorter)
    left = shorter - first
    last = next((i for i in range(left) if not _same(then[-1 - i], now[-1 - i])), left)
    parts = [items[first : len(items) - last] for items in (then, now)]
    yield Change(f'{where}[{first}]', *(', '.join(map(_shown, p)) or 'not there' for p in parts))


def _same(then: Any, now: Any) -> bool:
    if then is _ABSENT or now is _ABSENT:
        return False
    return json.dumps(then, sort_keys=True) == json.dumps(now, sort_keys=True)


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return 'not there'
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'


def _changed_digests(known: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Change]:
    for key, digest in sorted(known.items()):
        value = _at(config, key)
        text = json.dumps(None if value is _ABSENT else value, sort_keys=True)
        if hashlib.sha256(text.encode()).hexdigest()[: len(digest)] != digest:
            yield Change(key, 'another (an earlier release kept no value)', _shown(value))


def _at(config: Mapping[str, Any], key: str) -> Any:
    """The value at a key, which may be dotted."""
    if key in config or '.' not in key:
        return config.get(key, _ABSENT)
    first, _, rest = key.partition('.')
    inner = config.get(first)
    return _at(inner, rest) if isinstance(inner, Mapping) else _ABSENT
