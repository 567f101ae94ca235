"""What every update is: it changes the consumers' kernels after a selection."""

from abc import ABC, abstractmethod

from mmdet_lcp.criteria import SelectionProblem


class Update(ABC):
    """Changes kernels of kept channels. Subclasses are registered in ``UPDATES``."""

    @abstractmethod
    def apply(self, problem: SelectionProblem, keep: list[int]) -> dict[str, float]:
        """Change the consumers in place, the same on every rank; return figures to log."""
