"""What every criterion is: it picks the channels of a group that stay."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmdet_lcp.criteria.problem import SelectionProblem
from mmdet_lcp.structure import ChannelGroup


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
    """

    needs_metrics: bool = False

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


def largest(scores: Tensor, count: int) -> list[int]:
    """The ``count`` largest scores' indices, ascending; of equal scores the lower index."""
    order = torch.sort(scores, descending=True, stable=True).indices
    return sorted(order[:count].tolist())
