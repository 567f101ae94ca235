"""The exact update: the kernels that reconstruct the original output best, by least squares.

Minimises the reconstruction error L_re of LCP (Xie et al., arXiv 1911.02237) over the kernels
of the channels that stay, in closed form from second moments, instead of descending on it.
ThiNet (Luo et al., ICCV 2017) and Channel Pruning (He et al., ICCV 2017) do the like.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.least_squares.fit import check_ridge, fit_together
from mmdet_lcp.pruning.problem.consumers import check_moments
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.parts import reading_together
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.updates.base import Update
from mmdet_lcp.registry import UPDATES


@UPDATES.register_module()
class ExactUpdate(Update):
    """Least squares with a ridge towards the present kernels.

    With rows x_i (the inputs of the kept channels under the kernel at position i) and targets
    y_i (the original output there), W and b minimise

        sum_i w_i ||y_i - W x_i - b||^2 / sum_i w_i + ridge * v * ||W - W_now||^2

    with v the rows' mean variance. b goes into the bias; into the running mean of the batch norm
    that reads the output, if there is no bias; and is zero if there is neither. Which positions
    are looked at, and with which weights w_i, is `pruning.selection.positions`.

    Args:
        ridge: strength of the pull, relative to the rows' mean variance, > 0; ``'auto'`` chooses
            it for each layer by the error on held-out images.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(self, ridge: float | Literal['auto'] = 'auto') -> None:
        check_ridge('pruning.update.ridge', ridge)
        self.ridge = ridge

    def check(self, detector: nn.Module, group: ChannelGroup) -> None:
        """Check that the second moments of every consumer can be computed.

        Raises:
            CompressionError: they cannot.
        """
        check_moments(detector, group, 'pruning.update ExactUpdate')

    @torch.no_grad()
    def apply(self, problem: SelectionProblem, keep: list[int]) -> dict[str, float]:
        """Solve for every consumer; returns the mean squared error before and after."""
        problem.write(problem.masked(problem.weights(), keep))
        log = {'error_before': 0.0, 'error_after': 0.0}
        parts = problem.parts()
        moments = problem.moments()
        for names in reading_together(parts, moments):
            layers = [parts[name].layer for name in names]
            rows = kept_rows(layers[0], problem.channels, keep)
            kernels = [layer.module.weight.flatten(1) for layer in layers]
            fits = fit_together(
                [moments[name] for name in names],
                rows,
                [kernel[:, rows] for kernel in kernels],
                self.ridge,
                layers[0].intercept,
            )
            for layer, kernel, found in zip(layers, kernels, fits, strict=True):
                kernel[:, rows] = found.kernel.to(kernel.dtype)
                _write(layer, kernel, found.intercept)
                log['error_before'] += found.before
                log['error_after'] += found.after
                log['ridge'] = found.ridge
        return log


def _write(layer: Layer, kernel: Tensor, intercept: Tensor) -> None:
    """Put a flattened kernel and an intercept where they belong."""
    layer.module.weight.copy_(kernel.view_as(layer.module.weight))
    if layer.module.bias is not None:
        layer.module.bias.copy_(intercept)
    elif layer.norm is not None:
        layer.norm.running_mean.sub_(intercept.to(layer.norm.running_mean))


def kept_rows(consumer: Layer, channels: int, keep: list[int]) -> Tensor:
    """Columns of the flattened kernel that may change: those of kept channels.

    Input channels of the consumer that belong to other groups may change too.
    """
    stay = torch.zeros(channels, dtype=torch.bool)
    stay[keep] = True
    weight = consumer.module.weight
    mask = torch.ones(weight.shape[1], dtype=torch.bool, device=weight.device)
    mask[consumer.index] = stay[consumer.root.cpu()].to(weight.device)
    taps = weight[0, 0].numel()
    return mask.repeat_interleave(taps).nonzero().flatten()
