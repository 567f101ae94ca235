"""SGD on L over the kernels of the channels that stay."""

import math
from collections.abc import Iterable, Sequence

import torch

from mmdet_lcp.pruning.problem.gradients import Weights
from mmdet_lcp.pruning.problem.problem import SelectionProblem

_MOMENTUM = 0.9
_DOUBLED = 2.0  # L of a batch over what it was before the first step
_MOST_TRIES = 30  # lr is then a thousand-millionth of what it was


def descend(
    problem: SelectionProblem, weights: Weights, channels: Iterable[int], lr: float, passes: int
) -> tuple[Weights, list[float]]:
    """W_C <- W_C - lr dL/dW_C, batch by batch; never ends at a larger L than it began with.

    Source: LCP (Xie et al., arXiv 1911.02237), algorithm 1. It says neither how long nor at which
    lr. Our reading is SGD with Nesterov's momentum. A pass over the selection set behind which L
    is larger is taken back and the momentum forgotten; if that happens again at once, lr is
    halved. A pass in which L of a batch doubles is broken off. Neither that nor what goes before
    the first pass that is kept is counted, so that an lr which is far too large costs time only.

    Args:
        problem: of the group; its batches are run through, by all ranks together.
        weights: kernels by path.
        channels: C; the kernels of all others are zero and stay zero.
        lr: first step size, > 0.
        passes: over the selection set, >= 0.

    Returns:
        The new kernels, and L behind each pass that was kept, the initial one first.
    """
    channels = list(channels)
    best = problem.masked(weights, channels)
    if passes == 0:
        return best, []
    at_first, first = problem.losses_by_batch(best, channels)
    limits = [_DOUBLED * loss for loss in at_first]
    history = [first]
    current, optimizer = _sgd(best, lr)
    restarted = True
    done = not_counted = 0
    while done < passes and not_counted < _MOST_TRIES:
        complete = _pass(problem, current, optimizer, channels, limits)
        now = problem.loss(current, among=channels) if complete else math.nan
        if now < history[-1]:
            best = {path: weight.clone() for path, weight in current.items()}
            history.append(now)
            restarted = False
        else:
            lr = lr / 2 if restarted else lr
            current, optimizer = _sgd(best, lr)
            restarted = True
        if complete and len(history) > 1:
            done += 1
        else:
            not_counted += 1
    return best, history


def _pass(
    problem: SelectionProblem,
    weights: Weights,
    optimizer: torch.optim.Optimizer,
    channels: Sequence[int],
    limits: Sequence[float],
) -> bool:
    """One step a batch, in place; False once L of a batch is over its limit, or no number."""
    for batch, limit in zip(problem.batches, limits, strict=True):
        found = problem.gradients(weights, batches=[batch], among=channels)
        if not found.loss <= limit:
            return False
        gradient = problem.masked(found.total, channels)
        for path, weight in weights.items():
            weight.grad = gradient[path]
        optimizer.step()
    return True


def _sgd(weights: Weights, lr: float) -> tuple[Weights, torch.optim.SGD]:
    """Copies of kernels, and what takes steps on them."""
    copies = {path: weight.clone() for path, weight in weights.items()}
    return copies, torch.optim.SGD(copies.values(), lr, momentum=_MOMENTUM, nesterov=True)
