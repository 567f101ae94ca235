"""LCP's update: SGD on L over the kernels that stay.

W_C <- W_C - lr dL/dW_C (LCP, Xie et al., arXiv 1911.02237, algorithm 1).
"""

from mmdet_lcp.config.checks import check_integer, check_positive
from mmdet_lcp.pruning.problem.descent import descend
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.updates.base import Update
from mmdet_lcp.registry import UPDATES


@UPDATES.register_module()
class SGDUpdate(Update):
    """SGD with momentum, batch by batch, some passes over the selection set.

    Few and short steps by default: more fit the kernels to an auxiliary network that may have been
    trained for a few iterations only.

    Args:
        lr: first step size, > 0; the paper names none. It falls where it is too large
            (`mmdet_lcp.pruning.problem.descent.descend`).
        passes: passes over the selection images, >= 1.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(self, lr: float = 0.01, passes: int = 2) -> None:
        check_positive('pruning.update.lr', lr)
        check_integer('pruning.update.passes', passes, least=1)
        self.lr = lr
        self.passes = passes

    def apply(self, problem: SelectionProblem, keep: list[int]) -> dict[str, float]:
        """Train; returns L before and after."""
        weights, history = descend(problem, problem.weights(), keep, self.lr, self.passes)
        problem.write(weights)
        return {'loss_before': history[0], 'loss_after': history[-1]}
