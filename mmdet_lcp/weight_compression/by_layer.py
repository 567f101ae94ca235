"""Settings that may differ from layer to layer: one value, or one for each pattern of names."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from mmdet_lcp.config.keys import check_pattern
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.nearest import nearest_hint, without_escapes

CONV, FC = 'conv', 'fc'  # layer types, as Deep Compression counts them


def layer_type(layer: nn.Module) -> str:
    """``'fc'`` for a linear layer, ``'conv'`` for any other."""
    return FC if isinstance(layer, nn.Linear) else CONV


def check_values(value: Any, where: str, check: Callable[[str, Any], None]) -> None:
    """Check a setting that is one value, or a mapping from regular expression to value.

    Args:
        value: as it stands in the config.
        where: its key, for messages.
        check: raises a CompressionError for a value that is out of range, given (key, value).

    Raises:
        CompressionError: an expression is none, or a value is out of range.
    """
    if not isinstance(value, Mapping):
        check(where, value)
        return
    given = without_delete(value)
    if not given:
        raise CompressionError(f'{where} is an empty mapping: no layer would be changed')
    for pattern, item in given.items():
        check_pattern(pattern, f'{where}[{pattern!r}]')
        check(f'{where}[{pattern!r}]', item)


def values_by_layer(
    value: Any, paths: Sequence[str], where: str, types: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The value of each layer.

    Args:
        value: one value; or a mapping from regular expression, searched in the layer's path, to
            value, of which the first match counts.
        paths: module paths of the layers.
        where: the key of the setting, for messages.
        types: layer type by path; a key of the mapping that is the name of a type matches the
            layers of that type.

    Returns:
        The value by path; a layer that nothing matches has none.

    Raises:
        CompressionError: a pattern matches no layer (a layer type may match none).
    """
    if not isinstance(value, Mapping):
        return dict.fromkeys(paths, value)
    given = without_delete(value)

    def matches(pattern: str, path: str) -> bool:
        if types is not None and pattern in (CONV, FC):
            return types[path] == pattern
        return re.search(pattern, path) is not None

    for pattern in given:
        if types is not None and pattern in (CONV, FC):
            continue
        if not any(matches(pattern, path) for path in paths):
            near = nearest_hint(without_escapes(pattern), paths)
            raise CompressionError(
                f'{where}: {pattern!r} matches none of the {len(paths)} layers that are changed'
                f'{near}'
            )
    found = {}
    for path in paths:
        pattern = next((pattern for pattern in given if matches(pattern, path)), None)
        if pattern is not None:
            found[path] = given[pattern]
    return found


def without_delete(value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping of a config; mmengine leaves `_delete_` in it where a base has none."""
    return {key: item for key, item in value.items() if key != '_delete_'}
