"""ThiNet's criterion: drop the channels whose joint contribution to the next layer is smallest.

ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression (Luo et al., ICCV 2017,
arXiv 1707.06342), sections 3.2.1 and 3.2.2.
"""

import torch
from torch import Tensor, nn

from mmdet_lcp.config.checks import check_integer
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.pruning.criteria.base import Criterion, Selection
from mmdet_lcp.pruning.criteria.ranking import check_finite
from mmdet_lcp.pruning.criteria.thinet_samples import sample_moments
from mmdet_lcp.pruning.problem.consumers import check_rows
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.registry import CRITERIA


@CRITERIA.register_module()
class ThiNet(Criterion):
    """Greedily drops the channel that keeps the dropped ones' joint contribution smallest.

    With x_ic the contribution of input channel c to the i-th sampled activation of the next
    layer, its bias left out, the set T of dropped channels grows by

        argmin_c sum_i (sum_{j in T + c} x_ij)^2

    until only as many channels as are wanted stay. The samples of several consumers count alike.
    That what is dropped should sum to zero, while `ChannelScaleUpdate` may scale what stays, is
    the paper's.

    Args:
        samples_per_image: activations that are sampled of each image at each consumer, >= 1. The
            paper takes 10 from each of thousands of images. The default is for the few images of
            a selection set: 64 of them make 25 600 rows for at most some hundred channels.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(self, samples_per_image: int = 400) -> None:
        check_integer('pruning.criterion.samples_per_image', samples_per_image, least=1)
        self.samples_per_image = samples_per_image

    def check(self, detector: nn.Module, group: ChannelGroup) -> None:
        """Check that the contributions to every consumer can be computed.

        Raises:
            CompressionError: they cannot.
        """
        check_rows(detector, group, 'pruning.criterion ThiNet')

    def select(self, problem: SelectionProblem, keep: int) -> Selection:
        """Pick ``keep`` channels.

        ``scores`` are ranks in the order of dropping, 0 for the first to go, as if it went on
        until no channel is left. The log has ``dropped``: the mean square of the dropped
        channels' joint contribution over that of all channels'; it may exceed 1.

        Raises:
            CompressionError: the contributions are not finite.
        """
        moments = sample_moments(problem, self.samples_per_image)
        if not torch.isfinite(moments.xx).all():
            raise CompressionError(
                f'{problem.name}: the inputs of {", ".join(problem.consumers)} are not finite. '
                'The training has diverged: lower pruning.finetune.lr.'
            )
        order = dropping_order(moments.xx)
        scores = [0.0] * problem.channels
        for rank, channel in enumerate(order):
            scores[channel] = float(rank)
        number = problem.channels - keep
        gone = order[:number]
        total = float(moments.xx.sum())
        joint = float(moments.xx[gone][:, gone].sum())
        log = {'dropped': joint / total if total else 0.0}
        return Selection(sorted(order[number:]), scores, log)

    def removal_costs(self, problem: SelectionProblem, least: int) -> Tensor:
        """What each drop adds to the dropped channels' mean square over that of all channels.

        A drop that cancels others costs less than nothing.
        """
        moments = sample_moments(problem, self.samples_per_image)
        order = dropping_order(moments.xx)[: problem.channels - least]
        gram = moments.xx[order][:, order].double().cpu()
        check_finite(problem, gram)
        # The sum of X'X over T x T for T of one channel, two channels, ...
        joint = gram.cumsum(0).cumsum(1).diagonal()
        total = moments.xx.sum().double().cpu().clamp(min=torch.finfo(torch.float64).tiny)
        return joint.diff(prepend=joint.new_zeros(1)) / total


def dropping_order(gram: Tensor) -> list[int]:
    """All channels in the order in which the greedy rule drops them.

    sum_i (sum_{j in T} x_ij)^2 is the sum of X'X over T x T, so that adding c to T costs
    G_cc + 2 sum_{j in T} G_jc. Of equal costs the lower index goes first.

    Args:
        gram: X'X, (channels, channels).
    """
    costs = gram.diagonal().clone()
    order: list[int] = []
    for _ in range(len(gram)):
        channel = int(costs.argmin())
        order.append(channel)
        costs += 2 * gram[channel]
        costs[channel] = torch.inf  # stays infinite, whatever is added
    return order
