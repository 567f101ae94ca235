"""Draw the selection images from the training set, through its own pipeline."""

import logging

import numpy as np
import torch
from mmengine import dist
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from torch import nn

from mmdet_lcp.detectors.default_boxes import DefaultBoxSampler
from mmdet_lcp.detectors.roi_samples import RoISamples
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.forward import is_two_stage
from mmdet_lcp.seeds import derive, seeded
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.objects import objects_first, objects_text
from mmdet_lcp.selection.preprocessing import preprocessed
from mmdet_lcp.selection.proposals import proposed_regions
from mmdet_lcp.training_mode import in_training


def draw_images(
    dataset,
    dense: nn.Module,
    config: SelectionConfig,
    batch_size: int,
    seed: int,
    sampler: DefaultBoxSampler | None = None,
    skip: int = 0,
    called: str = 'selection images',
) -> list[SelectionImages]:
    """Draw this rank's share of the selection images, in batches.

    The same seed gives the same images and augmentations, whatever was drawn before. Images with
    objects come first; how many there are, and of which classes, is told in the log.

    Args:
        dataset: the training set.
        dense: the original detector; it says which regions it trains on.
        config: number of images and so on.
        batch_size: used if the config names none.
        seed: the run's seed.
        sampler: chooses regions, or ``None`` without an auxiliary network.
        skip: so many images are passed over first, for a second set that shares none with the
            first one, as far as there are enough with objects.
        called: what the log calls them.

    Raises:
        CompressionError: the data set is empty.
    """
    if not len(dataset):
        raise CompressionError(
            f'the {type(dataset).__name__} that selection images are drawn from has no images; '
            'channels are scored on at least one'
        )
    size = config.batch_size or batch_size
    order = np.random.default_rng(derive(seed, 'selection images')).permutation(len(dataset))
    world = dist.get_world_size()
    count = min(config.num_images, len(order))
    # Every rank gets the same number of images, at least one.
    count = max(world, count - count % world)
    order = objects_first(dataset, order, skip + count)
    if skip:  # there may be no further ones with objects: then some of the first set
        order = objects_first(dataset, np.roll(order, -skip), count)
    chosen = np.resize(order, count)
    text, little = objects_text(dataset, chosen, called)
    if text:
        print_log(text, logger='current', level=logging.WARNING if little else logging.INFO)
    batches = []
    for numbers in deal(count, size, dist.get_rank(), world):
        mine = chosen[numbers]
        items = []
        for index in mine:
            with seeded(derive(seed, 'augmentation', int(index))):
                items.append(dataset[int(index)])
        data = pseudo_collate(items)
        with torch.no_grad():
            data = preprocessed(dense.data_preprocessor, data)
            samples = None if sampler is None else _regions(sampler, dense, data, mine, seed)
        regions = None
        if is_two_stage(dense):
            regions = proposed_regions(dense, data['inputs'], data['data_samples'], config.regions)
        batches.append(
            SelectionImages(
                data['inputs'], samples, data['data_samples'], regions, tuple(numbers.tolist())
            )
        )
    return batches


def deal(count: int, size: int, rank: int, world: int) -> list[np.ndarray]:
    """Numbers of the images in each of a rank's batches.

    Whole batches are dealt out in turn, so that any number of ranks has the batches that one has,
    as far as ``count`` is a multiple of ``size * world``: heads divide a batch's loss by what the
    batch holds. Of what is left each rank gets as many images, in a smaller last batch.

    Args:
        count: of images over all ranks, a multiple of ``world``.
        size: images in a batch.
        rank: of this process.
        world: number of ranks.

    Example:
        >>> [numbers.tolist() for numbers in deal(10, 2, rank=1, world=2)]
        [[2, 3], [6, 7], [9]]
    """
    whole = count // (size * world) * size * world
    batches = list(np.arange(whole).reshape(-1, size)[rank::world])
    rest = np.arange(whole, count)[rank::world]
    return [*batches, rest] if len(rest) else batches


def _regions(
    sampler: DefaultBoxSampler, dense: nn.Module, data: dict, indices: np.ndarray, seed: int
) -> RoISamples:
    """Regions of a batch, image by image: which ranks share the images makes no difference."""
    found = []
    with in_training(dense):
        for number, index in enumerate(indices):
            image = data['inputs'][number : number + 1], data['data_samples'][number : number + 1]
            with seeded(derive(seed, 'regions', int(index))):
                found.append(sampler.sample_images(dense, *image))
    return RoISamples.of_images(found)
