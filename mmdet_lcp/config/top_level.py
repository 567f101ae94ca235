"""The keys at the top of a config: those that are misspelt, or that this runner does not read.

mmengine takes any key there, since configs keep their own variables at the top.
"""

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.runner import Runner

from mmdet_lcp.errors import CompressionError

OF_RUNNERS = {
    'pruning': 'PruningRunner',
    'mimic': 'MimicRunner',
    'weight_compression': 'WeightCompressionRunner',
    'chain': 'ChainRunner',
}
"""Keys that only one runner of this package reads, and which."""
KEEP_DETECTIONS = 'keep_detections'
"""Whether a run writes down what its detectors find on the test images."""
RUNNER_KEYS = tuple(inspect.signature(Runner).parameters)
"""What mmengine's runner reads of a config."""
_OTHERS = (
    'runner_type',
    'default_scope',
    'custom_imports',
    'accept_changes',
    KEEP_DETECTIONS,
    'find_unused_parameters',
    'model_wrapper_cfg',
    'tta_model',
    'tta_pipeline',
    'vis_backends',
)
# How alike (0 to 1) a key is that is one of ours, or one of mmengine's, misspelt. Variables of
# configs look like mmengine's: `test_dataset` beside `test_dataloader`.
_LIKE_OURS, _LIKE_OTHERS = 0.75, 0.85
_LONGER = 2


def check_top_level(cfg: Mapping[str, Any], read: Sequence[str]) -> list[str]:
    """Look for keys that were meant to be something else.

    Args:
        cfg: a whole config.
        read: the keys of `OF_RUNNERS` that the config's runner reads, and any keys of its own.

    Returns:
        Keys that nothing reads and whose values stand nowhere else in the config.

    Raises:
        CompressionError: a key looks like one that the runner reads, or is another runner's.
    """
    known = (*OF_RUNNERS, *RUNNER_KEYS, *_OTHERS, *read)
    for key in cfg:
        if key in OF_RUNNERS and key not in read and cfg[key] is not None:
            raise CompressionError(_other_runners(key, read))
        if key in known or _is_variable(key, cfg):
            continue
        if near := _near(key):
            raise CompressionError(
                f'the config has a key `{key}`, which nobody reads: did you mean `{near}`? If it '
                'is a variable of its own, give it another name'
            )
    return [key for key in cfg if key not in known and not _is_used(key, cfg)]


def _near(key: Any) -> str | None:
    """The key that another one is a misspelling of, if it is."""
    for names, least in ((('runner_type', *OF_RUNNERS), _LIKE_OURS), (RUNNER_KEYS, _LIKE_OTHERS)):
        names = [name for name in names if abs(len(name) - len(str(key))) <= _LONGER]
        if near := difflib.get_close_matches(str(key).lower(), names, 1, least):
            return near[0]
    return None


def _other_runners(key: str, read: Sequence[str]) -> str:
    own = next((name for name in read if name in OF_RUNNERS), None)
    text = f'the config has the key `{key}`, which {OF_RUNNERS.get(own, "its runner")} does not'
    if key == 'mimic' and own == 'pruning':
        return f'{text} read: a teacher of the retraining stands in `pruning.retrain.mimic`'
    if key == 'chain' or own is None:
        return f"{text} read: set runner_type='mmdet_lcp.{OF_RUNNERS[key]}', or take it out"
    links = [f'mmdet_lcp.{OF_RUNNERS[name]}' for name in OF_RUNNERS if name in (own, key)]
    return (
        f"{text} read: take it out, or run both, runner_type='mmdet_lcp.ChainRunner', "
        f'chain={links!r} or the other way round'
    )


def _is_variable(key: Any, cfg: Mapping[str, Any]) -> bool:
    """Whether a key's value, which is more than a number, is used by another key."""
    return isinstance(cfg[key], (str, list, tuple, dict)) and _is_used(key, cfg)


def _is_used(key: Any, cfg: Mapping[str, Any]) -> bool:
    """Whether a key's value stands elsewhere in a config; a text, inside one of its texts."""
    value = cfg[key]
    if value is None or isinstance(value, bool):
        return True
    for other in _values({name: cfg[name] for name in cfg if name != key}):
        if isinstance(value, str) and isinstance(other, str) and value in other:
            return True
        if type(value) is type(other) and value == other:
            return True
    return False


def _values(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _values(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _values(item)
