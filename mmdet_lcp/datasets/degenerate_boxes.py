"""Boxes without area never reach the loss, and an empty training set is named, not a crash.

mmdet's box coder divides by a ground-truth box's width and height and takes the logarithm, so one
box with no width or no height turns the loss into NaN, and the run with it. ``CocoDataset`` drops
boxes narrower or lower than a pixel while it reads; ``XMLDataset`` (VOC and its kin) keeps them,
unless ``filter_cfg`` has a ``bbox_min_size``, which then ignores small good boxes too. Here they
are dropped from the training set in place, and the log says which images had them. What is
evaluated stays as it is: results must not depend on whether this hook ran.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook

from mmdet_lcp import compat
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import HOOKS

__all__ = ['DropDegenerateBoxesHook', 'drop_degenerate_boxes', 'require_images']

_NAMED_IMAGES = 5  # the log line names that many


def drop_degenerate_boxes(dataset: Any) -> dict[str, int]:
    """Removes the instances whose box has no area, in place.

    A box ``[x1, y1, x2, y2]`` has none when ``x2 <= x1`` or ``y2 <= y1``, or when a coordinate is
    NaN. Images stay, also those that lose all their boxes: they are images without objects.

    Args:
        dataset: An mmengine ``BaseDataset``, or any wrapper that holds one as ``dataset`` or
            several as ``datasets`` (concatenated, repeated, balanced, mixed). It is initialised
            fully if it was not. Anything else is left alone.

    Returns:
        For each image that lost boxes, its file name without suffix and their number.

    Raises:
        CompressionError: If a data set has no images.
    """
    dropped: dict[str, int] = {}
    for leaf in _leaves(dataset):
        leaf.full_init()
        infos = [_without_degenerate(info, dropped) for info in _iter_infos(leaf)]
        if all(info is None for info in infos):
            continue
        if not leaf.serialize_data:
            for index, info in enumerate(infos):
                if info is not None:
                    leaf.data_list[index] = info
            continue
        leaf.data_list = [
            old if new is None else new for old, new in zip(_iter_infos(leaf), infos, strict=True)
        ]
        leaf.data_bytes, leaf.data_address = leaf._serialize_data()  # empties data_list
    return dropped


def require_images(dataset: Any) -> None:
    """Raises an error for a data set, or a part of a wrapped one, that has no images.

    Args:
        dataset: As for :func:`drop_degenerate_boxes`.

    Raises:
        CompressionError: Names the data set's type, annotation file, folders and filter.
    """
    for leaf in _leaves(dataset):
        leaf.full_init()
        if len(leaf) == 0:
            raise CompressionError(compat.empty_dataset_message(leaf))


@HOOKS.register_module()
class DropDegenerateBoxesHook(Hook):
    """Drops the training boxes without area before the first iteration, and says so once.

    ``custom_hooks = [dict(type='mmdet_lcp.DropDegenerateBoxesHook')]``.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._done: Any = None

    def before_train(self, runner: Any) -> None:
        """Cleans the training set; a second training with the same one does nothing.

        Raises:
            CompressionError: If the training set has no images.
        """
        dataset = runner.train_dataloader.dataset
        if dataset is self._done:
            return
        require_images(dataset)
        dropped = drop_degenerate_boxes(dataset)
        self._done = dataset
        if dropped:
            runner.logger.warning(_dropped_message(dropped))


def _leaves(dataset: Any) -> Iterator[BaseDataset]:
    """Yields the data sets inside wrappers, each once."""
    seen: set[int] = set()
    queue = [dataset]
    while queue:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, BaseDataset):
            yield current
            continue
        if getattr(current, 'dataset', None) is not None:
            queue.append(current.dataset)
        queue.extend(getattr(current, 'datasets', None) or ())


def _iter_infos(leaf: BaseDataset) -> Iterator[dict]:
    """Yields the information of every image, as it is stored."""
    if not leaf.serialize_data:
        yield from leaf.data_list
        return
    start = 0
    for end in leaf.data_address.tolist():
        yield pickle.loads(memoryview(leaf.data_bytes[start:end]))
        start = end


def _without_degenerate(info: dict, dropped: dict[str, int]) -> dict | None:
    """Returns a copy without boxes that have no area and counts them, or None if all have one."""
    instances = info.get('instances') or []
    kept = [instance for instance in instances if _has_area(instance)]
    if len(kept) == len(instances):
        return None
    name = Path(str(info.get('img_path', info.get('img_id', '?')))).stem
    dropped[name] = dropped.get(name, 0) + len(instances) - len(kept)
    return {**info, 'instances': kept}


def _has_area(instance: dict) -> bool:
    if 'bbox' not in instance:
        return True
    x1, y1, x2, y2 = instance['bbox']
    return bool(x2 > x1 and y2 > y1)


def _dropped_message(dropped: dict[str, int]) -> str:
    count = sum(dropped.values())
    names = ', '.join(list(dropped)[:_NAMED_IMAGES])
    if len(dropped) > _NAMED_IMAGES:
        names += f' and {len(dropped) - _NAMED_IMAGES} more images'
    boxes = 'box' if count == 1 else 'boxes'
    return (
        f'dropped {count} {boxes} without area ({names}): '
        f'{"it" if count == 1 else "they"} would turn the box loss into NaN'
    )
