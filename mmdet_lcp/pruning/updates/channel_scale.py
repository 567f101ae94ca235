"""ThiNet's update: one factor for each channel that stays, by least squares.

ThiNet (Luo et al., ICCV 2017), section 3.2.3.
"""

import torch
from torch import Tensor, nn

from mmdet_lcp.config.checks import check_integer
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.pruning.criteria.thinet_samples import sample_moments
from mmdet_lcp.pruning.problem.consumers import check_rows
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.updates.base import Update
from mmdet_lcp.registry import UPDATES

# Relative to the largest eigenvalue of X'X. Below it lies what rounding leaves of channels that
# depend on each other, and directions along which a factor would follow noise.
CUTOFF = 1e-8


@UPDATES.register_module()
class ChannelScaleUpdate(Update):
    """Multiplies every consumer's kernel of a kept channel c by a factor w_c.

    With the rows x_i of the kept channels' contributions to sampled activations (see
    `criteria.ThiNet`) and y_i the activations of the original detector, w minimises
    sum_i (y_i - w x_i)^2. Of y_i the bias is taken off, and so is what input channels outside the
    group contribute as they are now.

    The paper's y_i is the sum over all channels of the network at hand. Taking the original
    detector's activation, as the other updates do, is our reading: it also makes up for what
    earlier layers have lost. At the first layer, before any training, the two are equal.

    Where the samples do not determine w (a channel that never fires, two that always fire
    together), it is the solution closest to 1: what the data do not show keeps its kernel. The
    plain minimum-norm solution would set such kernels to zero for good.

    Args:
        samples_per_image: see `criteria.ThiNet`; the same number samples the same places.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(self, samples_per_image: int = 400) -> None:
        check_integer('pruning.update.samples_per_image', samples_per_image, least=1)
        self.samples_per_image = samples_per_image

    def check(self, detector: nn.Module, group: ChannelGroup) -> None:
        """Check that the contributions to every consumer can be computed.

        Raises:
            CompressionError: they cannot.
        """
        check_rows(detector, group, 'pruning.update ChannelScaleUpdate')

    @torch.no_grad()
    def apply(self, problem: SelectionProblem, keep: list[int]) -> dict[str, float]:
        """Scale every consumer; returns the mean squared error over the samples before and after.

        ``scale_min`` and ``scale_max`` are the range of the factors.
        """
        moments = sample_moments(problem, self.samples_per_image)
        xx, xy = moments.xx[keep][:, keep], moments.xy[keep]
        factors = solve_near_one(xx, xy)

        def error(w: Tensor) -> float:
            return max(float(moments.yy - 2 * w @ xy + w @ xx @ w), 0.0) / moments.count

        scales = torch.ones(problem.channels, dtype=torch.float64)
        scales[keep] = factors
        weights = problem.weights()
        for path, weight in weights.items():
            consumer = problem.consumers[path]
            scale = torch.ones(consumer.inputs, dtype=torch.float64, device=weight.device)
            scale[consumer.index] = scales.to(weight.device)[consumer.root]
            weight *= consumer.spread(scale).to(weight.dtype)
        problem.write(problem.masked(weights, keep))
        return {
            'error_before': error(torch.ones_like(factors)),
            'error_after': error(factors),
            'scale_min': float(factors.min()),
            'scale_max': float(factors.max()),
        }


def solve_near_one(xx: Tensor, xy: Tensor) -> Tensor:
    """The w closest to 1 among those that minimise w' xx w - 2 w' xy.

    Args:
        xx: X'X, (n, n) float64, of any rank.
        xy: X'y, (n,).

    Returns:
        (n,).
    """
    ones = torch.ones_like(xy)
    values, vectors = torch.linalg.eigh(xx)
    seen = values > CUTOFF * values[-1]  # none, if all is zero
    vectors = vectors[:, seen]
    return ones + vectors @ ((vectors.T @ (xy - xx @ ones)) / values[seen])
