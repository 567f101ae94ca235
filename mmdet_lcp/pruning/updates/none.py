"""No update: the kernels that stay are left as they are."""

from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.updates.base import Update
from mmdet_lcp.registry import UPDATES


@UPDATES.register_module()
class NoUpdate(Update):
    """The control: what fine-tuning alone has to repair."""

    def apply(self, problem: SelectionProblem, keep: list[int]) -> dict[str, float]:
        """Leave everything as it is."""
        return {}
