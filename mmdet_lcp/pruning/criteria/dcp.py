"""DCP's criterion: channels that help to discriminate and to reconstruct, added greedily.

Discrimination-aware Channel Pruning for Deep Neural Networks (Zhuang et al., NeurIPS 2018),
algorithm 2.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice

import torch
from torch import Tensor

from mmdet_lcp.config.checks import check_integer, check_not_negative, check_positive
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria.base import Criterion, Selection, largest, shares_of_the_rest
from mmdet_lcp.pruning.criteria.ranking import check_finite
from mmdet_lcp.pruning.problem.gradients import Weights
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import SelectionBatch
from mmdet_lcp.registry import CRITERIA


@CRITERIA.register_module()
class DCP(Criterion):
    """A <- A + argmax_k ||dL/dW_k||_F, then a few SGD steps on W_A; until A is full.

    L = L_M + lambda * L_S^p. L_M = 1/(2Q) ||F - X * W||^2 is the reconstruction of the outputs of
    the layers that read the channels; L_S^p the loss of the auxiliary classifier at the end of
    the part (attachment `DiscriminationAuxiliary`), differentiated through all layers between.
    lambda is `pruning.objective.alpha`. W are the kernels of those layers, with every channel
    outside A at zero; a channel that joins A begins at its original kernel.

    The paper's: L, the rule, one channel a step, the warm start, the stop by tolerance. Its
    figures for the steps on W_A (how many, how long) are not given: ours. A step after which L is
    larger on the images that it was taken on is taken back, and the steps are half as long from
    then on: at one length for all layers the deep ones of a network without batch norm diverge.

    The answer carries W_A (`Selection.kernels`), which the runner puts into the detector before
    `pruning.update` has its turn; with `NoUpdate` they are what stays.

    Args:
        channels_per_step: how many channels are added between two looks at the gradient, >= 1.
            1 is the paper; more are faster.
        inner_steps: SGD steps on W_A after each addition, >= 0.
        inner_lr: step size of these at the beginning, > 0.
        batches_per_step: each gradient is taken on so many of a rank's batches of the selection
            set, in turn, >= 1; ``None`` for all of them.
        tolerance: epsilon of DCP-Adapt, >= 0: stop when |L_{t-1} - L_t| / L_0 <= epsilon, so
            that fewer channels stay than the budget allows; their number is then rounded up as
            `pruning.channel_divisor` and `pruning.min_channels` ask. L is that of the whole
            selection set, which costs a forward pass a step. ``None``: the budget alone.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(
        self,
        channels_per_step: int = 1,
        inner_steps: int = 4,
        inner_lr: float = 1.0,
        batches_per_step: int | None = 1,
        tolerance: float | None = None,
    ) -> None:
        check_integer('pruning.criterion.channels_per_step', channels_per_step, least=1)
        check_integer('pruning.criterion.inner_steps', inner_steps, least=0)
        check_positive('pruning.criterion.inner_lr', inner_lr)
        if batches_per_step is not None:
            check_integer('pruning.criterion.batches_per_step', batches_per_step, least=1)
        if tolerance is not None:
            check_not_negative('pruning.criterion.tolerance', tolerance)
        self.channels_per_step = channels_per_step
        self.inner_steps = inner_steps
        self.inner_lr = inner_lr
        self.batches_per_step = batches_per_step
        self.tolerance = tolerance

    def select(self, problem: SelectionProblem, keep: int) -> Selection:
        """Pick ``keep`` channels, or fewer with a tolerance, at least one.

        ``scores`` are ||dL/dW_k||_F when the channel was last looked at.
        """
        original = problem.weights()
        current = problem.masked(original, [])
        selected: list[int] = []
        scores = torch.zeros(problem.channels, dtype=torch.float64)
        log: dict[str, float] = {}
        rate = self.inner_lr
        budget, stopped = keep, self.tolerance is None
        first = before = 0.0 if stopped else problem.loss(current)
        with closing(_in_turn(problem.batches, self.batches_per_step)) as portions:
            while len(selected) < budget:
                found = problem.gradients(current, batches=next(portions))
                norms = problem.per_channel(found.total).sqrt()
                if not torch.isfinite(norms).all():
                    raise CompressionError(
                        f'{problem.name}: the gradients are not finite. Lower '
                        'pruning.finetune.lr, or check the data for broken boxes.'
                    )
                log.setdefault('loss_first', found.loss)
                left = torch.ones(problem.channels, dtype=torch.bool)
                left[selected] = False
                scores = torch.where(left, norms, scores)
                count = min(self.channels_per_step, budget - len(selected))
                fresh = largest(norms.masked_fill(~left, -1.0), count)
                current = _join(problem, current, original, selected, fresh)
                selected = sorted(selected + fresh)
                for _ in range(self.inner_steps):
                    portion = next(portions)
                    found = problem.gradients(current, batches=portion, among=selected)
                    gradient = problem.masked(found.total, selected)
                    trial = {p: w - rate * gradient[p] for p, w in current.items()}
                    if problem.loss(trial, portion, selected) <= found.loss:
                        current = trial
                    else:  # larger, or not a number
                        rate /= 2
                log |= {'loss_last': found.loss, **found.losses}
                if not stopped:
                    now = problem.loss(current, among=selected)
                    if abs(before - now) <= self.tolerance * first:
                        budget, stopped = min(keep, problem.round_up(len(selected))), True
                    before = now
        return Selection(selected, scores.tolist(), log, current)

    def removal_costs(self, problem: SelectionProblem, least: int) -> Tensor:
        """||dL/dW_k||_F at the first step, as `shares_of_the_rest`.

        L is L_M alone, since no classifier has been trained yet.
        """
        found = problem.gradients(problem.masked(problem.weights(), []))
        scores = problem.per_channel(found.total).sqrt()
        check_finite(problem, scores)
        return shares_of_the_rest(scores)[: problem.channels - least]


def _join(
    problem: SelectionProblem,
    current: Weights,
    original: Weights,
    selected: list[int],
    fresh: list[int],
) -> Weights:
    """W_A with some channels more, whose kernels were at zero, at their original ones."""
    grown = problem.masked(original, [*selected, *fresh])
    known = problem.masked(original, selected)
    return {path: weight + (grown[path] - known[path]) for path, weight in current.items()}


def _in_turn(
    batches: Iterable[SelectionBatch], count: int | None
) -> Iterator[Iterable[SelectionBatch]]:
    """Portions of ``count`` batches, over and over again; all of them for ``None``."""
    if count is None:
        while True:
            yield batches
    endless = _over_and_over(batches)
    while True:
        yield list(islice(endless, count))


def _over_and_over(batches: Iterable[SelectionBatch]) -> Iterator[SelectionBatch]:
    while True:
        yield from batches
