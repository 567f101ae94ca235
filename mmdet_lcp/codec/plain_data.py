"""Configs and meta data as JSON that gives back what it was given: tuples stay tuples.

JSON has no tuples, no keys but strings, no NaN and no infinities. They are written as mappings
with one key that begins with a dollar: ``{"$tuple": [...]}``, ``{"$dict": [[key, value], ...]}``,
``{"$float": "nan"}``.
"""

import json
import math
from typing import Any

import numpy as np

from mmdet_lcp.errors import CompressionError

MAX_DEPTH = 64
_FLOATS = {'nan': math.nan, 'inf': math.inf, '-inf': -math.inf}


def to_json(data: dict[str, Any]) -> bytes:
    """Write plain data.

    Args:
        data: None, booleans, numbers (NumPy's too), text, lists, tuples and dicts of them.

    Raises:
        CompressionError: it holds something else; where, is told.
    """
    plain = _tagged(data, '', 0)
    return json.dumps(plain, separators=(',', ':'), allow_nan=False).encode('ascii')


def from_json(text: bytes) -> Any:
    """Read what `to_json` wrote.

    Raises:
        CompressionError: it is no such text.
    """
    try:
        return _untagged(json.loads(text, parse_constant=_refuse), 0)
    except CompressionError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise CompressionError(f'no valid JSON: {error!s:.100}') from error


def _refuse(name: str) -> None:
    raise CompressionError(f'no valid JSON: {name}')


def _tagged(data: Any, where: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise CompressionError(f'{where}: nested too deeply, or holds itself')
    if isinstance(data, np.generic):
        data = data.item()
    if data is None or type(data) in (bool, int, str):
        return data
    if type(data) is float:
        if math.isfinite(data):
            return data
        return {'$float': 'nan' if math.isnan(data) else 'inf' if data > 0 else '-inf'}
    if isinstance(data, dict):
        items = [
            (key, _tagged(value, f'{where}.{key}' if where else str(key), depth + 1))
            for key, value in data.items()
        ]
        if all(type(key) is str and not key.startswith('$') for key, _ in items):
            return dict(items)
        return {'$dict': [[_tagged(key, where, depth + 1), value] for key, value in items]}
    if isinstance(data, (list, tuple)):
        tagged = [_tagged(item, f'{where}[{i}]', depth + 1) for i, item in enumerate(data)]
        return {'$tuple': tagged} if isinstance(data, tuple) else tagged
    raise CompressionError(
        f'{where}: a {type(data).__name__} cannot be packed: use numbers, text, lists and dicts'
    )


def _untagged(data: Any, depth: int) -> Any:
    if depth > 2 * MAX_DEPTH:
        raise CompressionError('no valid JSON: nested too deeply')
    if isinstance(data, list):
        return [_untagged(item, depth + 1) for item in data]
    if not isinstance(data, dict):
        return data
    tags = [key for key in data if key.startswith('$')]
    if not tags:
        return {key: _untagged(value, depth + 1) for key, value in data.items()}
    (tag, content), *more = data.items()
    if more:
        raise CompressionError(f'no valid JSON: {tags[0]!r:.50} beside other keys')
    if tag == '$float' and isinstance(content, str) and content in _FLOATS:
        return _FLOATS[content]
    if tag == '$tuple' and isinstance(content, list):
        return tuple(_untagged(item, depth + 1) for item in content)
    if tag == '$dict' and isinstance(content, list):
        # TypeError and ValueError of keys that cannot be, `from_json` turns into its own
        return {_untagged(key, depth + 1): _untagged(value, depth + 1) for key, value in content}
    raise CompressionError(f'no valid JSON: unknown tag {tag!r:.50}')
