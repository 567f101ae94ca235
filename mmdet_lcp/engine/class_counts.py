"""Whether a checkpoint does not fit a detector because it was trained on other classes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def classes_hint(
    detector: nn.Module, weights: Mapping[str, Tensor], meta: Mapping[str, Any] | None
) -> str:
    """Names `num_classes` where another number of classes explains every other shape.

    Args:
        detector: as the config describes it.
        weights: of the checkpoint.
        meta: of the checkpoint; it may list its classes.

    Returns:
        A line, or an empty string.
    """
    own = detector.state_dict()
    if own.keys() != weights.keys():
        return ''
    others = [name for name, value in own.items() if weights[name].shape != value.shape]
    heads: dict[str, int] = {}
    for name in others:
        path = _head_of(detector, name)
        here, there = own[name].shape, weights[name].shape
        if path is None or here[1:] != there[1:]:  # outputs differ, inputs do not
            return ''
        heads[path] = _head(detector, path).num_classes
    if not heads:
        return ''
    listed = ', '.join(f'model.{path}.num_classes={count}' for path, count in heads.items())
    classes = (dict(meta or {}).get('dataset_meta') or {}).get('classes')
    count = len(classes) if classes else _count(detector, own, weights, others)
    trained = 'another number of classes' if count is None else f'{count} classes'
    wanted = '' if count is None else f' (set it to {count}, with metainfo to match)'
    return f'It was trained on {trained}, and the config says {listed}{wanted}.\n'


def _count(
    detector: nn.Module,
    own: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    others: list[str],
) -> int | None:
    """The number that all outputs agree in, if they do."""
    found: set[int] | None = None
    for name in others:
        classes = _head(detector, _head_of(detector, name)).num_classes
        here, there = own[name].shape[0], weights[name].shape[0]
        # Outputs are classes, or classes and the background, each so many times over.
        counts = set()
        for background in (0, 1):
            times, rest = divmod(here, classes + background)
            if times and not rest and there % times == 0:
                counts.add(there // times - background)
        found = counts if found is None else found & counts
    return found.pop() if found is not None and len(found) == 1 else None


def _head_of(detector: nn.Module, name: str) -> str | None:
    """The nearest module above a parameter that counts classes."""
    path = name
    while '.' in path:
        path = path.rpartition('.')[0]
        if isinstance(getattr(_head(detector, path), 'num_classes', None), int):
            return path
    return None


def _head(detector: nn.Module, path: str | None) -> Any:
    return detector.get_submodule(path or '')
