"""LCP's criterion: keep the channels whose kernels the loss is most sensitive to.

Localization-aware Channel Pruning for Object Detection (Xie et al., arXiv 1911.02237),
algorithm 1. The greedy form with several steps is that of DCP (Zhuang et al., NeurIPS 2018).
"""

from typing import Literal

import torch
from torch import Tensor

from mmdet_lcp.config.checks import check_integer, check_positive
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria.base import Criterion, Selection, largest, shares_of_the_rest
from mmdet_lcp.pruning.criteria.ranking import check_finite
from mmdet_lcp.pruning.problem.descent import descend
from mmdet_lcp.pruning.problem.gradients import Gradients
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.registry import CRITERIA

# The paper's losses: logs tell of each, also where it is switched off.
LOSSES = ('reconstruction', 'classification', 'regression')


@CRITERIA.register_module()
class LCP(Criterion):
    """S_k = sum_ij ||dL / dW_kij||^2; the K largest stay.

    Where the gradient is taken decides what it says, and the paper does not tell:

    - ``'selected'``: at the kernels with every channel that is not yet selected at zero, as DCP
      does. With one step that is W = 0: S_k then tells how much a channel would reduce L first.
    - ``'full'``: at the unpruned kernels. L_re vanishes there wherever nothing upstream has been
      pruned or trained, so the auxiliary losses decide alone.

    Args:
        reference: ``'selected'`` or ``'full'``.
        greedy_steps: in how many portions the K channels are added. 1 is the paper's single
            ranking; more take the gradient anew after each portion (``'selected'`` only).
        inner_passes: passes over the selection images that train the kernels selected so far,
            after each portion but the last (DCP, algorithm 2), >= 0.
        inner_lr: first step size of these, > 0 (`descend`).
        share_batches: on so many batches of a rank each term's share of the gradient is measured,
            for the log, >= 0; each costs a backward pass a term.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(
        self,
        reference: Literal['selected', 'full'] = 'selected',
        greedy_steps: int = 1,
        inner_passes: int = 2,
        inner_lr: float = 0.01,
        share_batches: int = 1,
    ) -> None:
        if reference not in ('selected', 'full'):
            raise CompressionError(
                f"pruning.criterion.reference={reference!r}: use 'selected' or 'full'"
            )
        check_integer('pruning.criterion.greedy_steps', greedy_steps, least=1)
        check_integer('pruning.criterion.inner_passes', inner_passes, least=0)
        check_positive('pruning.criterion.inner_lr', inner_lr)
        check_integer('pruning.criterion.share_batches', share_batches, least=0)
        if reference == 'full' and greedy_steps > 1:
            raise CompressionError(
                "pruning.criterion: greedy_steps > 1 needs reference='selected'; at the full "
                'kernels every step would see the same gradient'
            )
        self.reference = reference
        self.greedy_steps = greedy_steps
        self.inner_passes = inner_passes
        self.inner_lr = inner_lr
        self.share_batches = share_batches

    def select(self, problem: SelectionProblem, keep: int) -> Selection:
        """Pick ``keep`` channels; ``scores`` are S_k when the channel was last looked at."""
        original = problem.weights()
        steps = min(self.greedy_steps, keep)
        selected: list[int] = []
        scores = torch.zeros(problem.channels, dtype=torch.float64)
        log: dict[str, float] = {}
        current = problem.masked(original, [])
        for step in range(steps):
            kernels = original if self.reference == 'full' else current
            found = problem.gradients(kernels, apart=self.share_batches if step == 0 else 0)
            sensitivity = problem.per_channel(found.total)
            if not torch.isfinite(sensitivity).all():
                raise CompressionError(
                    f'{problem.name}: the sensitivities are not finite. The training has '
                    'diverged: lower pruning.finetune.lr, or check the data for broken boxes.'
                )
            if found.by_term:
                log = gradient_shares(problem, found)
            left = torch.ones(problem.channels, dtype=torch.bool)
            left[selected] = False
            scores = torch.where(left, sensitivity, scores)
            portion = keep * (step + 1) // steps - len(selected)
            candidates = sensitivity.masked_fill(~left, -1.0)
            selected = sorted(selected + largest(candidates, portion))
            if step + 1 < steps:
                fresh = problem.masked(original, selected)
                seen = problem.masked(current, selected)
                # Newly selected channels start from their original kernels.
                start = {p: torch.where(seen[p] == 0, fresh[p], seen[p]) for p in fresh}
                current, _ = descend(problem, start, selected, self.inner_lr, self.inner_passes)
        return Selection(selected, scores.tolist(), log)

    def removal_costs(self, problem: SelectionProblem, least: int) -> Tensor:
        """S_k as `shares_of_the_rest`.

        L is L_re alone, since nothing has been trained along yet, and its gradient is taken with
        all channels at zero, whatever ``reference`` says: at the unpruned kernels it vanishes.
        """
        found = problem.gradients(problem.masked(problem.weights(), []))
        scores = problem.per_channel(found.total)
        check_finite(problem, scores)
        return shares_of_the_rest(scores)[: problem.channels - least]


def gradient_shares(problem: SelectionProblem, found: Gradients) -> dict[str, float]:
    """Share of each term in the sum of all terms' squared gradients, in [0, 1], by term.

    Measured on the batches on which the terms were taken apart.
    """
    power = {term: float(problem.per_channel(g).sum()) for term, g in found.by_term.items()}
    total = sum(power.values()) or 1.0
    terms = dict.fromkeys([*LOSSES, *power])
    return {f'share_{term}': power.get(term, 0.0) / total for term in terms}
