"""A config as a file of mmdet's, and proof that the file says what the data says.

mmengine runs a config file as Python. The data of a packed file may come from anywhere, and
mmengine does not escape every key it writes, so the text is read back with a reader that knows
only literals and ``dict(...)`` before anybody gets to run it.
"""

import ast
from typing import Any

from mmengine.config import Config

from mmdet_lcp.errors import CompressionError


def to_config(data: dict[str, Any], pretty: bool = True) -> Config:
    """Make a config of mmengine's from plain data.

    Args:
        data: what it holds.
        pretty: whether its text is laid out for people.

    Raises:
        CompressionError: mmengine does not take it.
    """
    try:
        return Config(data, format_python_code=pretty)
    except Exception as error:  # reserved names, wrong types: whatever mmengine trips over
        raise CompressionError(f'its config is none of mmengine: {error}') from error


def config_text(data: dict[str, Any], pretty: bool = True) -> str:
    """The text of a config file that holds exactly ``data``.

    Args:
        data: plain data.
        pretty: laid out for people, which takes seconds for a large config.

    Raises:
        CompressionError: no config file can hold it (NaN, keys that are no names, ...).
    """
    config = to_config(data, pretty)
    try:
        text = config.pretty_text
        same = _literals(text) == data
    except (SyntaxError, ValueError, RecursionError) as error:
        raise CompressionError(
            f'its config cannot be written as a config file: {error!s:.200}'
        ) from error
    if not same:
        raise CompressionError('its config changes when it is written as a config file')
    return text


def _literals(text: str) -> dict[str, Any]:
    """The values of the assignments of which a text consists."""
    found = {}
    for line in ast.parse(text).body:
        if not isinstance(line, ast.Assign) or len(line.targets) != 1:
            raise ValueError(f'line {line.lineno} is no assignment')
        (target,) = line.targets
        if not isinstance(target, ast.Name) or target.id in found:
            raise ValueError(f'line {line.lineno} assigns to something else than a new name')
        found[target.id] = _literal(line.value)
    return found


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand)
        if type(value) in (int, float):
            return -value
    if isinstance(node, ast.List):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_literal(item) for item in node.elts)
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_literal(key) for key in node.keys]
        return dict(zip(keys, map(_literal, node.values), strict=True))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        (base,) = [_literal(item) for item in node.args] or [{}]
        named = {keyword.arg: _literal(keyword.value) for keyword in node.keywords}
        if isinstance(base, dict) and None not in named:
            return {**base, **named}
    raise ValueError(f'line {node.lineno} holds more than numbers, text, lists and dicts')
