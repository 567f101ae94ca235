"""Batch norms' running statistics, taken anew after channels have gone."""

from collections.abc import Sequence
from typing import Literal

import torch
from mmengine import dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet_lcp.graph.forward import takes_mode
from mmdet_lcp.modes import in_eval
from mmdet_lcp.selection.images import SelectionImages, detection_loss

Statistics = Literal['keep', 'recalibrate', 'best']


@torch.no_grad()
def settle_statistics(
    detector: nn.Module, batches: Sequence[SelectionImages], how: Statistics
) -> dict[str, float]:
    """Keep or re-estimate the running statistics of all batch norms, in place.

    Args:
        detector: the pruned detector.
        batches: this rank's selection images.
        how: ``'keep'``; ``'recalibrate'``: the mean over these images; ``'best'``: whichever of
            the two gives the smaller loss of the detector on these images.

    Returns:
        The detector's loss with what it had and after recalibration, where they were measured.
    """
    norms = [m for m in detector.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if how == 'keep' or not norms:
        return {}
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    log = {}
    if how == 'best':
        log['loss_kept'] = mean_loss(detector, batches)
    _estimate(detector, norms, batches)
    if how == 'best':
        log['loss_recalibrated'] = mean_loss(detector, batches)
        if not log['loss_recalibrated'] < log['loss_kept']:
            for norm, (mean, var) in zip(norms, before, strict=True):
                norm.running_mean.copy_(mean)
                norm.running_var.copy_(var)
    return log


def _estimate(
    detector: nn.Module, norms: list[_BatchNorm], batches: Sequence[SelectionImages]
) -> None:
    """Running statistics as the plain mean over the batches of all ranks."""
    momenta = [norm.momentum for norm in norms]
    with in_eval(detector):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # PyTorch's word for a cumulative mean
            norm.train()
        for images in batches:
            if takes_mode(detector) and images.data_samples:
                detector.forward(images.inputs, images.data_samples, mode='tensor')
            else:
                images.run(detector)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        for value in (norm.running_mean, norm.running_var):
            dist.all_reduce(value, 'mean')


@torch.no_grad()
def mean_loss(detector: nn.Module, batches: Sequence[SelectionImages]) -> float:
    """`detection_loss`, averaged over the batches of all ranks."""
    losses = [float(detection_loss(detector, images)) for images in batches]
    mean = torch.tensor(sum(losses) / len(losses), dtype=torch.float64)
    dist.all_reduce(mean, 'mean')
    return float(mean)
