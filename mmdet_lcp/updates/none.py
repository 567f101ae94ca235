"""No update: the kernels that stay are left as they are."""

from mmdet_lcp.criteria import SelectionProblem
from mmdet_lcp.registry import UPDATES
from mmdet_lcp.updates.base import Update


@UPDATES.register_module()
class NoUpdate(Update):
    """The control: what fine-tuning alone has to repair."""

    def apply(self, problem: SelectionProblem, keep: list[int]) -> dict[str, float]:
        """Leave everything as it is."""
        return {}
