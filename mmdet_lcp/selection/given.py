"""Images that a Python caller has at hand, as selection images."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.forward import is_two_stage, plain_samples
from mmdet_lcp.seeds import derive, seeded
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.draw import draw_images
from mmdet_lcp.selection.fitting import check_runs, check_type
from mmdet_lcp.selection.forms import (
    FORMS,
    TOGETHER,
    Batch,
    Images,
    batches_in,
    described,
    is_data_set,
)
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.preprocessing import preprocessed
from mmdet_lcp.selection.proposals import proposed_regions

NONE = 'images: there is none; channels are scored on at least one image'


def given_images(
    dense: nn.Module,
    images: Images,
    config: SelectionConfig,
    seed: int,
    called: str = 'selection images',
) -> list[SelectionImages]:
    """Selection images from what a caller has.

    Args:
        dense: the original detector, or any module with a forward on one tensor; its data
            preprocessor is applied to batches of mmdet's.
        images: see `FORMS`. Of a data set ``config.num_images`` are drawn with the seed; of
            anything else so many are taken from its beginning.
        config: numbers of images and of regions.
        seed: of the drawing.
        called: what the log calls them.

    Raises:
        CompressionError: there is no image, something else than images, or images that the
            network does not run on.
    """
    if is_data_set(images):
        if not len(images):
            raise CompressionError(NONE)
        with seeded(derive(seed, 'first image')):
            first = images[0]
        if _is_mmdets(dense, first):
            # Whether such images fit is seen on one, before the others are read.
            _batch(dense, pseudo_collate([first]), config, set())
            size = config.batch_size or TOGETHER
            return draw_images(images, dense, config, size, seed, called=called)
        images = _drawn(images, config.num_images, seed)
    found: list[SelectionImages] = []
    left = config.num_images
    run_on: set[torch.Size] = set()
    for item in batches_in(images, config.batch_size):
        if left < 1:
            break
        batch = _first(_batch(dense, item, config, run_on), left)
        left -= len(batch.inputs)
        found.append(batch)
    if not found:
        raise CompressionError(NONE)
    return found


def _is_mmdets(dense: nn.Module, item: Any) -> bool:
    """Whether an item of a data set is what mmdet's training takes."""
    return (
        hasattr(dense, 'data_preprocessor')
        and isinstance(item, Mapping)
        and isinstance(item.get('inputs'), Tensor)
        and item.get('data_samples') is not None
    )


def _drawn(dataset: Any, count: int, seed: int) -> list[Any]:
    """Items of a data set, drawn and augmented with the seed."""
    order = np.random.default_rng(derive(seed, 'selection images')).permutation(len(dataset))
    items = []
    for index in order[:count].tolist():
        with seeded(derive(seed, 'augmentation', index)):
            items.append(dataset[index])
    return items


@torch.no_grad()
def _batch(
    dense: nn.Module, item: Batch, config: SelectionConfig, run_on: set[torch.Size]
) -> SelectionImages:
    """One batch, preprocessed; the network runs on one image of each shape that is new."""
    inputs, samples = _preprocessed(dense, item)
    check_type(dense, inputs)
    inputs = inputs.to(next(dense.parameters()).device)
    if inputs.shape[1:] not in run_on:
        check_runs(dense, inputs)
        run_on.add(inputs.shape[1:])
    regions = None
    if isinstance(dense, BaseDetector) and is_two_stage(dense):
        regions = proposed_regions(dense, inputs, samples or plain_samples(inputs), config.regions)
    return SelectionImages(inputs, None, samples, regions)


def _preprocessed(dense: nn.Module, item: Batch) -> tuple[Tensor, list]:
    """The images of a batch, (N, C, H, W), and their mmdet samples, if there are any."""
    inputs, samples = item, []
    if isinstance(item, Mapping):
        inputs, samples = item['inputs'], item.get('data_samples')
        if preprocess := getattr(dense, 'data_preprocessor', None):
            try:
                data = preprocessed(preprocess, item)
            except Exception as error:  # its own, of any kind
                raise CompressionError(
                    f'images: the {type(preprocess).__name__} of the {type(dense).__name__} does '
                    f'not take {described(item)}: {str(error) or type(error).__name__}'
                ) from error
            inputs, samples = data['inputs'], data.get('data_samples')
        elif not isinstance(inputs, Tensor):
            shapes = {tuple(image.shape) for image in inputs}
            if len(shapes) > 1:
                raise CompressionError(
                    f'images: a batch has images of {len(shapes)} shapes, and the '
                    f'{type(dense).__name__} has no data_preprocessor that pads them'
                )
            inputs = torch.stack(list(inputs))
    if not isinstance(inputs, Tensor) or inputs.dim() != 4 or not len(inputs):
        raise CompressionError(f'images: {described(inputs)} is not {FORMS}')
    return inputs, list(samples or [])


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
