"""The forms in which a Python caller may have images, turned into batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor

from mmdet_lcp.errors import CompressionError

FORMS = (
    'a tensor (N, C, H, W) of preprocessed images, several such tensors or images (C, H, W), '
    'batches as a data loader gives them (images and labels, or dicts with `inputs` and '
    '`data_samples` as in mmdet), or a data set'
)
Images = Tensor | np.ndarray | Mapping[str, Any] | Sequence[Any] | Iterable[Any]
Batch = Tensor | Mapping[str, Any]
TOGETHER = 8
"""So many single images make a batch, unless told otherwise."""


def is_data_set(images: Any) -> bool:
    """Whether these are single images by number, as in data sets and wrappers of them."""
    listed = isinstance(images, (Tensor, np.ndarray, list, tuple, str, bytes, Mapping))
    return not listed and hasattr(images, '__len__') and hasattr(images, '__getitem__')


def batches_in(images: Images, size: int | None = None) -> Iterator[Batch]:
    """The same images in batches, in their order.

    Args:
        images: see `FORMS`, but no data set.
        size: images of a batch, where they come singly or all at once.

    Yields:
        Tensors (N, C, H, W), or dicts of mmdet with several images.

    Raises:
        CompressionError: something else than images.
    """
    images = _as_tensor(images)
    if isinstance(images, Tensor):
        if images.dim() != 4:
            raise CompressionError(f'images: {described(images)} is not {FORMS}')
        if len(images):
            yield from images.split(size or len(images))
        return
    if isinstance(images, (str, bytes)) or not isinstance(images, Iterable):
        raise CompressionError(f'images: {type(images).__name__} is not {FORMS}')
    waiting: list[Batch] = []
    for item in [images] if isinstance(images, Mapping) else images:
        found = _image_part(item)
        single = _shape(found) is not None
        if waiting and (_shape(found) != _shape(waiting[0]) or len(waiting) == (size or TOGETHER)):
            yield _together(waiting)
            waiting = []
        if single:
            waiting.append(found)
        else:
            yield found
    if waiting:
        yield _together(waiting)


def described(item: Any) -> str:
    """What something is that is no image."""
    if isinstance(item, Tensor):
        return f'a Tensor of shape {tuple(item.shape)}'
    if isinstance(item, Mapping):
        return f'a dict with the keys {", ".join(map(str, item)) or "(none)"}'
    return f'a {type(item).__name__}'


def _as_tensor(item: Any) -> Any:
    """An array as a tensor, anything else as it is."""
    if not isinstance(item, np.ndarray):
        return item
    try:
        return torch.from_numpy(np.ascontiguousarray(item))
    except TypeError as error:  # such as strings
        raise CompressionError(f'images: an array of {item.dtype} is not {FORMS}') from error


def _image_part(item: Any) -> Batch:
    """The images of an item of a list, a data loader or a data set: what comes first in it."""
    pair = isinstance(item, (list, tuple)) and item and isinstance(item[0], (Tensor, np.ndarray))
    found = _as_tensor(item[0] if pair else item)
    inputs = found.get('inputs') if isinstance(found, Mapping) else found
    known = isinstance(inputs, Tensor) and inputs.dim() in (3, 4)
    if isinstance(found, Mapping) and isinstance(inputs, (list, tuple)):
        known = bool(inputs) and all(isinstance(i, Tensor) and i.dim() == 3 for i in inputs)
    if not known:
        raise CompressionError(f'images: {described(found)} is not {FORMS}')
    return found


def _shape(item: Batch) -> torch.Size | None:
    """The shape of a single image; ``None`` of a batch."""
    inputs = item['inputs'] if isinstance(item, Mapping) else item
    return inputs.shape if isinstance(inputs, Tensor) and inputs.dim() == 3 else None


def _together(items: list[Batch]) -> Batch:
    """Single images as one batch."""
    return torch.stack(items) if isinstance(items[0], Tensor) else pseudo_collate(items)
