"""Images that a Python caller has at hand, as selection images."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.forward import is_two_stage, plain_samples
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.draw import draw_images
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.proposals import proposed_regions

FORMS = (
    'a tensor (N, C, H, W) of preprocessed images, tensors like it, batches as a data loader of '
    'mmdet gives them (dicts with `inputs` and `data_samples`), or a data set of mmdet'
)
Images = Tensor | Sequence[Any] | Iterable[Tensor | Mapping[str, Any]]


def given_images(
    dense: nn.Module, images: Images, config: SelectionConfig, seed: int
) -> list[SelectionImages]:
    """Selection images from what a caller has.

    Args:
        dense: the original detector, or any module with a forward on one tensor; its data
            preprocessor is applied to batches of mmdet's.
        images: see `FORMS`. Of a data set ``config.num_images`` are drawn with the seed; of
            anything else so many are taken from its beginning.
        config: numbers of images and of regions.
        seed: of the drawing.

    Raises:
        CompressionError: there is no image, or something else than images.
    """
    if _is_data_set(images):
        return draw_images(images, dense, config, config.batch_size or 8, seed)
    if isinstance(images, Tensor):
        size = config.batch_size or len(images)
        images = images.split(size) if size else []
    if isinstance(images, (str, bytes)) or not isinstance(images, Iterable):
        raise CompressionError(f'images: {type(images).__name__} is not {FORMS}')
    found: list[SelectionImages] = []
    left = config.num_images
    for item in images:
        if left < 1:
            break
        batch = _batch(dense, item, config)
        batch = _first(batch, left)
        left -= len(batch.inputs)
        found.append(batch)
    if not found:
        raise CompressionError('images: there is none; channels are scored on at least one image')
    return found


def _is_data_set(images: Any) -> bool:
    """Whether these are single images by number, mmdet's data sets and wrappers of them."""
    listed = isinstance(images, (Tensor, list, tuple, str, bytes, Mapping))
    return not listed and hasattr(images, '__len__') and hasattr(images, '__getitem__')


@torch.no_grad()
def _batch(dense: nn.Module, item: Any, config: SelectionConfig) -> SelectionImages:
    device = next(dense.parameters()).device
    if isinstance(item, Mapping) and 'inputs' in item:
        preprocess = getattr(dense, 'data_preprocessor', None)
        data = dict(item) if preprocess is None else preprocess(dict(item), False)
        inputs, samples = data['inputs'], list(data.get('data_samples') or [])
    else:
        inputs, samples = item, []
    if not isinstance(inputs, Tensor) or inputs.dim() != 4 or not len(inputs):
        shape = f' of shape {tuple(inputs.shape)}' if isinstance(inputs, Tensor) else ''
        raise CompressionError(f'images: a {type(inputs).__name__}{shape} is not {FORMS}')
    inputs = inputs.to(device)
    regions = None
    if isinstance(dense, BaseDetector) and is_two_stage(dense):
        regions = proposed_regions(dense, inputs, samples or plain_samples(inputs), config.regions)
    return SelectionImages(inputs, None, samples, regions)


def _first(batch: SelectionImages, count: int) -> SelectionImages:
    """At most so many images of a batch; one with regions is taken whole."""
    if len(batch.inputs) <= count or batch.regions is not None:
        return batch
    return SelectionImages(batch.inputs[:count], None, batch.data_samples[:count])


def labelled(batches: Iterable[SelectionImages]) -> bool:
    """Whether there is ground truth for every image."""
    return all(
        batch.data_samples and all('gt_instances' in sample for sample in batch.data_samples)
        for batch in batches
    )
