"""Options of a command line that change the methods compared, and not what they have in common."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmengine.config import Config

from mmdet_lcp.comparison.methods import OWN_KEYS, POSITIONS, Method
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.config import KEY, PruningConfig


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split options by dotted key into those of the methods and all others.

    A method of a comparison stands in a fragment, which goes before what the config says; so
    what a command line says of it has to be set in the fragment.

    Raises:
        CompressionError: a dict holds keys of both kinds.

    Example:
        >>> split_options({'pruning.criterion.metric': 'variance', 'pruning.ratio': 0.5})
        ({'pruning.criterion.metric': 'variance'}, {'pruning.ratio': 0.5})
    """
    for key, value in options.items():
        inner = value if isinstance(value, Mapping) else {}
        if any(_is_of_a_method(f'{key}.{name}') for name in inner) and not _is_of_a_method(key):
            raise CompressionError(
                f'{key}: give what belongs to a method key by key, such as '
                f'{KEY}.criterion.metric or {KEY}.{POSITIONS}.objects'
            )
    own = {key: value for key, value in options.items() if _is_of_a_method(key)}
    return own, {key: value for key, value in options.items() if key not in own}


def with_options(method: Method, options: Mapping[str, Any], pruning: Mapping[str, Any]) -> Method:
    """A method with some of its keys set anew.

    Args:
        method: the method; it stays as it is.
        options: by dotted key, as `split_options` gives them.
        pruning: the `pruning` config of the comparison.

    Raises:
        CompressionError: the method has no such key, or the value is out of range.
    """
    if not options:
        return method
    for key in options:
        if key.rpartition('.')[2] in ('type', '_delete_'):
            raise CompressionError(
                f'--cfg-options {key} makes another method of {method.name}: name a fragment '
                'file of yours among --criteria, or NAME+UPDATE'
            )
        if method.is_peer and not _is_named(key, POSITIONS):
            raise CompressionError(
                f"--cfg-options {key}: {method.name} is another package's pruner, which has no "
                'such key. Compare the others in a folder of their own'
            )
    selection = {} if method.positions is None else dict(positions=method.positions)
    cfg = Config({KEY: {**method.parts, 'selection': selection}})
    try:
        cfg.merge_from_dict(dict(options))
        parts = cfg[KEY].to_dict()
        positions = parts.pop('selection').get('positions')
        changed = replace(method, parts=parts, positions=positions)
        PruningConfig.from_cfg({KEY: changed.apply(dict(pruning))})
    except (CompressionError, TypeError, KeyError) as error:
        given = ' '.join(f'{key}={value}' for key, value in options.items())
        raise CompressionError(
            f'--cfg-options {given} is set in every method of --criteria, and {method.name} does '
            f'not take it: {error}'
        ) from error
    return changed


def _is_of_a_method(key: str) -> bool:
    return any(_is_named(key, part) for part in (*OWN_KEYS, POSITIONS))


def _is_named(key: str, part: str) -> bool:
    """Whether a dotted key is a part of `pruning`, or lies in it."""
    return f'{key}.'.startswith(f'{KEY}.{part}.')
