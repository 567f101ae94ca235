"""Prepare the pruning of a runner's detector: groups, stages, and the selection images."""

import dataclasses
from collections.abc import Callable, Sequence

from torch import nn

from mmdet_lcp.engine.image_size import deployed_image_size
from mmdet_lcp.engine.phased_runner import PhasedRunner
from mmdet_lcp.engine.preflight import readable
from mmdet_lcp.graph.following_norms import following_norms
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.suited import attachable_stages
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.draw import draw_images
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.soundness import check_sound


def prepare_job(
    runner: PhasedRunner,
    detector: nn.Module,
    dense: nn.Module,
    config: PruningConfig,
    laid_out: Callable[[PruningJob], None],
) -> PruningJob:
    """Find the groups of a detector, choose those that lose channels, and draw the images.

    Args:
        runner: has the training data and the seed.
        detector: the trained detector; the job changes it in place.
        dense: a frozen copy of it.
        config: the `pruning` key.
        laid_out: called before the images are drawn, which takes a while.

    Raises:
        CompressionError: see `PruningJob.lay_out`; or the attachment or the data do not fit.
    """
    size = deployed_image_size(runner, detector)
    spare = config.takes_all
    job = PruningJob.lay_out(detector, dense, size, config, runner.seed, spare)
    sampler = None
    if config.attachment is not None:
        sampler = config.attachment.sampler(dense)
        job.stages, unsuited = attachable_stages(detector, job.stages, config.attachment, spare)
        job.skipped += unsuited
    laid_out(job)
    runner.message_hub.update_info('epoch', 0)  # some heads match by it
    loader = runner.train_dataloader
    with readable('train_dataloader'):
        images = SelectionSet.draw(
            loader.dataset,
            dense,
            config.selection,
            training_batch_size(runner),
            runner.seed,
            sampler,
            following_norms(dense, size),
        )
    job.see(images)
    check_sound(dense, images.batches, runner.logger.warning)
    return job


def images_to_distill_on(
    runner: PhasedRunner, job: PruningJob, config: PruningConfig
) -> Sequence[SelectionImages]:
    """The selection images of this rank, or as many more as are asked for.

    Args:
        runner: has the training data and the seed.
        job: with its selection images.
        config: the `pruning` key, with `distill`.
    """
    count = config.distill.num_images
    if count <= config.selection.num_images:
        return job.images.batches
    return drawn(runner, job.dense, config.selection, count, called='images to distill on')


def drawn(
    runner: PhasedRunner,
    dense: nn.Module,
    selection: SelectionConfig,
    count: int,
    called: str,
    skip: int = 0,
) -> list[SelectionImages]:
    """Some training images of this rank, drawn as the selection images are.

    Args:
        runner: has the training data and the seed.
        dense: the original detector.
        selection: how the selection images are drawn.
        count: so many instead.
        called: what the log calls them.
        skip: see `draw_images`.
    """
    other = dataclasses.replace(selection, num_images=count)
    batch_size = training_batch_size(runner)
    with readable('train_dataloader'):
        dataset = runner.train_dataloader.dataset
        return draw_images(
            dataset, dense, other, batch_size, runner.seed, skip=skip, called=called
        )


def training_batch_size(runner: PhasedRunner) -> int:
    """Images of one rank in a training batch."""
    return runner.train_dataloader.batch_size or runner.cfg.train_dataloader['batch_size']


def left_alone(job: PruningJob) -> list[str]:
    """Lines for the user: which groups are left alone, and why."""
    return [f'{len(job.skipped)} are left alone:'] + [
        f'  {item.name}: {item.reason}' for item in job.skipped
    ]
