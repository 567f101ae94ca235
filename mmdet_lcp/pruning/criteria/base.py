"""What every criterion is: it picks the channels of a group that stay."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.pruning.problem.problem import SelectionProblem


@dataclass
class Selection:
    """A criterion's answer.

    Attributes:
        keep: channels that stay, ascending.
        scores: score of each of the group's channels, larger is more important.
        log: figures worth a line in the log and in the report.
        kernels: the consumers' kernels as the criterion has changed them, by path, in their
            present shapes, the same on every rank; ``None`` if it leaves them alone. They are put
            into the detector before the update.
    """

    keep: list[int]
    scores: list[float]
    log: dict[str, float] = field(default_factory=dict)
    kernels: dict[str, Tensor] | None = None


class Criterion(ABC):
    """Picks channels. Subclasses are registered in ``CRITERIA`` and cite their paper.

    Attributes:
        needs_metrics: whether `SelectionProblem.metrics` has to be there, which costs a backward
            pass of the original detector over the selection images.
        priced: whether `removal_costs` are divided by what a removal saves already.
    """

    needs_metrics: bool = False
    priced: bool = False

    def check(self, detector: nn.Module, group: ChannelGroup) -> None:  # noqa: B027
        """Called for every group before anything is trained.

        Raises:
            CompressionError: the criterion cannot work on this group.
        """

    @abstractmethod
    def select(self, problem: SelectionProblem, keep: int) -> Selection:
        """Pick ``keep`` of the group's channels; the same on every rank.

        A criterion with a stopping rule of its own may pick fewer, such that
        `SelectionProblem.round_up` leaves their number as it is.
        """

    def removal_costs(self, problem: SelectionProblem, least: int) -> Tensor:
        """What each further channel costs when a group's channels go one after the other.

        Asked on the original detector before anything is trained, to share a target out over the
        groups. Costs of different groups are on one scale; how, each criterion says.

        Args:
            problem: of the original detector, without anything that trains along: L is L_re.
            least: so many channels stay in any case, in [1, channels].

        Returns:
            (channels - least,), float64, on the CPU, in order of removal; the same on every rank.

        Raises:
            CompressionError: the criterion has no such costs.
        """
        raise _no_costs(self)


def check_has_costs(criterion: Criterion) -> None:
    """Raise a CompressionError unless a criterion says what removals cost, as targets need it."""
    if type(criterion).removal_costs is Criterion.removal_costs:
        raise _no_costs(criterion)


def _no_costs(criterion: Criterion) -> CompressionError:
    return CompressionError(
        f'pruning.target: the criterion {type(criterion).__name__} does not say what channels of '
        'different groups cost. Give pruning.ratio instead, or another pruning.criterion.type'
    )


def shares_of_the_rest(scores: Tensor) -> Tensor:
    """Scores of one group as removal costs that compare with other groups'.

    The smallest goes first, and each costs its share of what is left by then: itself over the sum
    of itself and all larger ones. So costs do not depend on the scale of a group's scores, and
    they grow as the group gets thin. As LAMP does with single weights (Lee et al., Layer-adaptive
    Sparsity for the Magnitude-based Pruning, ICLR 2021, arXiv 2010.07611, equation 2), with scores
    in the place of squared weights.

    Args:
        scores: (channels,), >= 0.

    Returns:
        (channels,), in order of removal, in [0, 1]; where only zeros are left, 0.
    """
    rising = scores.sort().values
    left = rising.flip(0).cumsum(0).flip(0)
    return rising / left.clamp(min=torch.finfo(scores.dtype).tiny)


def largest(scores: Tensor, count: int) -> list[int]:
    """The ``count`` largest scores' indices, ascending; of equal scores the lower index."""
    order = torch.sort(scores, descending=True, stable=True).indices
    return sorted(order[:count].tolist())
