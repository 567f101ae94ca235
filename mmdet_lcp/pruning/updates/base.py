"""What every update is: it changes the consumers' kernels after a selection."""

from abc import ABC, abstractmethod

from torch import nn

from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.pruning.problem.problem import SelectionProblem


class Update(ABC):
    """Changes kernels of kept channels. Subclasses are registered in ``UPDATES``."""

    def check(self, detector: nn.Module, group: ChannelGroup) -> None:  # noqa: B027
        """Called for every group before anything is trained.

        Raises:
            CompressionError: the update cannot work on this group.
        """

    @abstractmethod
    def apply(self, problem: SelectionProblem, keep: list[int]) -> dict[str, float]:
        """Change the consumers in place, the same on every rank; return figures to log."""
