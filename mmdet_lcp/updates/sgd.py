"""LCP's update: a few descent steps on L over the kernels that stay.

W_C <- W_C - lr dL/dW_C (LCP, Xie et al., arXiv 1911.02237, algorithm 1).
"""

from mmdet_lcp.criteria import SelectionProblem
from mmdet_lcp.criteria.checks import check_integer, check_positive
from mmdet_lcp.registry import UPDATES
from mmdet_lcp.updates.base import Update


@UPDATES.register_module()
class SGDUpdate(Update):
    """Full-batch descent over the selection set.

    Args:
        lr: first step size, > 0; the paper names none. It adapts (`SelectionProblem.descend`).
        steps: passes over the selection set, >= 1.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(self, lr: float = 1.0, steps: int = 10) -> None:
        check_positive('pruning.update.lr', lr)
        check_integer('pruning.update.steps', steps, least=1)
        self.lr = lr
        self.steps = steps

    def apply(self, problem: SelectionProblem, keep: list[int]) -> dict[str, float]:
        """Descend; returns L before and after."""
        weights, history = problem.descend(problem.weights(), keep, self.lr, self.steps)
        problem.write(weights)
        return {'loss_before': history[0], 'loss_after': history[-1]}
