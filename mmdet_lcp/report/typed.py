"""Whether data that came out of a file are what their dataclass says, key by key."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from mmdet_lcp.errors import CompressionError


def check_types(data: Any, where: str = '') -> None:
    """Look at the fields of a dataclass, and at what is in them.

    A mapping's number may be ``None``: JSON has neither nan nor inf.

    Args:
        data: an instance.
        where: its key, for messages.

    Raises:
        CompressionError: a value is of another type; its key is named.
    """
    hints = typing.get_type_hints(type(data))
    for field in dataclasses.fields(data):
        key = f'{where}.{field.name}' if where else field.name
        _check(getattr(data, field.name), hints[field.name], key)


def _check(value: Any, kind: Any, key: str) -> None:
    if dataclasses.is_dataclass(value) and kind is type(value):
        check_types(value, key)
        return
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inside:
            return
        kind = next(some for some in inside if some is not type(None))
        _check(value, kind, key)
    elif origin is list and isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _check(item, inside[0], f'{key}[{number}]')
    elif origin is tuple and isinstance(value, list | tuple):  # JSON has lists alone
        kinds = inside[:1] * len(value) if inside[1:] == (...,) else inside
        if len(kinds) != len(value):
            raise CompressionError(f'{key}={value!r:.50} must have {len(kinds)} entries')
        for number, (item, own) in enumerate(zip(value, kinds, strict=True)):
            _check(item, own, f'{key}[{number}]')
    elif origin is dict and isinstance(value, Mapping):
        for name, item in value.items():
            _check(name, inside[0], f'{key}: the name')
            if item is not None or inside[1] is not float:
                _check(item, inside[1], f'{key}[{name!r:.50}]')
    elif not _is(value, kind):
        wanted = kind.__name__ if origin is None else str(kind)
        raise CompressionError(f'{key}={value!r:.50} is no {wanted}')


def _is(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)
