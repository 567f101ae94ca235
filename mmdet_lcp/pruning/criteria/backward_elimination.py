"""Exact backward elimination: drop the channel that the least squares can best do without.

The project's own criterion. It takes LCP's reconstruction (Xie et al., arXiv 1911.02237, L_re)
in closed form and drops one channel at a time, as Optimal Brain Surgeon does with single weights
(Hassibi and Stork, NeurIPS 1992): what the loss grows by, with all remaining kernels solved anew,
is known without solving. Localisation enters through the weights of the positions and through the
metric of the outputs.
"""

import logging
from dataclasses import dataclass
from typing import Literal

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.least_squares.elimination import Elimination
from mmdet_lcp.least_squares.fit import Fit, check_ridge, fit_together
from mmdet_lcp.least_squares.inverse import inverse_from_factor
from mmdet_lcp.pruning.criteria.base import Criterion, Selection
from mmdet_lcp.pruning.problem.consumers import check_moments
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.parts import Part, reading_together
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.registry import CRITERIA


@CRITERIA.register_module()
class BackwardElimination(Criterion):
    """Drops channels one by one, each time the one that costs least.

    With H the damped second moments of a consumer's rows, W its least-squares kernel and c the
    rows of a channel, dropping it raises the weighted squared error by

        tr(M W_c' ([H^-1]_cc)^-1 W_c)

    where M weighs errors of the outputs against each other. Costs of several consumers add up.

    Args:
        ridge: that of the least squares, relative to the rows' mean variance, > 0; ``'auto'``
            chooses it by the error of the unpruned fit on held-out images.
        metric: M. ``'gradient'``: E[g g'] of the gradient g of the original detector's own loss
            (classification and boxes) at the output, a second-order model of that loss; a
            consumer that this loss does not reach on any selection image, such as the head of a
            level where no object is, costs nothing, and where it reaches none the order is that
            of ``'variance'``;
            ``'variance'``: the inverse variance of each output; ``'identity'``. With the last
            two, a consumer's costs are relative to its outputs' variance.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(
        self,
        ridge: float | Literal['auto'] = 'auto',
        metric: Literal['gradient', 'variance', 'identity'] = 'gradient',
    ) -> None:
        check_ridge('pruning.criterion.ridge', ridge)
        if metric not in ('gradient', 'variance', 'identity'):
            raise CompressionError(
                f"pruning.criterion.metric={metric!r}: use 'gradient', 'variance' or 'identity'"
            )
        self.ridge = ridge
        self.metric = metric

    @property
    def needs_metrics(self) -> bool:
        """Whether the selection set has to take the detector's gradients."""
        return self.metric == 'gradient'

    def check(self, detector: nn.Module, group: ChannelGroup) -> None:
        """Check that the second moments of every consumer can be computed.

        Raises:
            CompressionError: they cannot.
        """
        check_moments(detector, group, 'pruning.criterion BackwardElimination')

    @torch.no_grad()
    def select(self, problem: SelectionProblem, keep: int) -> Selection:
        """Pick ``keep`` channels.

        ``scores`` tell the order of elimination: a dropped channel has its rank, 0 for the first
        to go; one that stays has the number of dropped ones plus its share of the final costs.
        """
        found = self._eliminate(problem, keep)
        scores = torch.zeros(problem.channels, dtype=torch.float64)
        scores[found.order] = torch.arange(len(found.order), dtype=torch.float64)
        stay = found.left[found.alive]
        scores[found.alive] = problem.channels - keep + stay / stay.sum().clamp(min=1e-300)
        kept = found.alive.nonzero().flatten().tolist()
        return Selection(kept, scores.tolist(), {'cost': float(found.costs.sum())})

    @torch.no_grad()
    def removal_costs(self, problem: SelectionProblem, least: int) -> Tensor:
        """What each drop costs, in the order of elimination.

        With the metric ``'gradient'`` in the detector's loss, the same for all groups: a
        consumer's mean squared error at a position counts as often as there are positions in an
        image, or as `SelectionProblem.positions_that_count` says. With the others in shares of
        the outputs' variance.
        """
        found = self._eliminate(problem, least)
        if self.metric != 'gradient':
            return found.costs.sum(1)
        if not self._reached(problem):
            return torch.zeros(len(found.order), dtype=torch.float64)
        positions = {**problem.outputs_per_image(), **problem.positions_that_count}
        factors = [positions[part.path] for part in problem.parts().values()]
        return found.costs @ torch.tensor(factors).double()

    def _eliminate(self, problem: SelectionProblem, keep: int) -> '_Course':
        """Drop channels until ``keep`` are left."""
        moments = problem.moments()
        named = problem.parts()
        kind = self.metric
        if kind == 'gradient' and not self._reached(problem):
            print_log(
                "pruning.criterion.metric='gradient': on the selection images the loss does not "
                f"depend on {', '.join(problem.consumers)}; metric='variance' is taken there",
                logger='current',
                level=logging.WARNING,
            )
            kind = 'variance'
        parts = {}
        for names in reading_together(named, moments):
            layers = [named[name].layer for name in names]
            starts = [layer.module.weight.flatten(1) for layer in layers]
            rows = torch.arange(starts[0].shape[1], device=starts[0].device)
            pairs = [moments[name] for name in names]
            fits = fit_together(pairs, rows, starts, self.ridge, layers[0].intercept)
            for name, layer, found in zip(names, layers, fits, strict=True):
                parts[name] = _Solved(
                    channel_rows(layer, problem.channels),
                    found,
                    self._metric(problem, named[name]) if kind == 'gradient' else None,
                    apart=kind == 'variance',
                )
        if kind == 'identity':  # of a consumer, not of each of its groups
            for path in problem.consumers:
                own = [parts[name] for name, part in named.items() if part.path == path]
                for solved in own:
                    solved.share(sum(some.variance for some in own))
        states = _states(list(parts.values()))
        numbers = {name: number for number, name in enumerate(parts)}
        columns = [numbers[name] for name in named]
        alive = torch.ones(problem.channels, dtype=torch.bool)
        order: list[int] = []
        paid = torch.zeros(problem.channels - keep, len(parts), dtype=torch.float64)
        none = torch.zeros(problem.channels, dtype=torch.float64)
        costs = sum((state.costs().cpu() for state, _ in states), none)
        for rank in range(problem.channels - keep):
            drop = int(costs.masked_fill(~alive, torch.inf).argmin())
            order.append(drop)
            alive[drop] = False
            for state, outputs in states:
                shares = state.drop(drop).split([count for _, count in outputs])
                for (number, _), share in zip(outputs, shares, strict=True):
                    paid[rank, number] = share.sum()
            costs = sum((state.costs().cpu() for state, _ in states), none)
        return _Course(order, paid[:, columns], alive, costs)

    def _reached(self, problem: SelectionProblem) -> bool:
        """Whether the detector's loss depends on any consumer."""
        return any(path in (problem.metrics or {}) for path in problem.consumers)

    def _metric(self, problem: SelectionProblem, part: Part) -> Tensor:
        """M of the gradient, (out, out); zeros where the loss does not depend on the outputs."""
        metric = problem.metrics.get(part.path)
        if metric is not None and not metric.isfinite().all():
            raise CompressionError(
                f"{problem.name}: the gradient of the detector's loss at {part.path} is not "
                'finite on the selection images. Look for nan or inf in the weights of load_from, '
                "and for broken boxes in the data; or take pruning.criterion.metric='variance'"
            )
        if metric is None:
            outputs = part.layer.module.weight.shape[0]
            return part.layer.module.weight.new_zeros((outputs, outputs), dtype=torch.float64)
        return metric[part.outputs, part.outputs]


@dataclass
class _Course:
    """How an elimination went.

    Attributes:
        order: the dropped channels, the first to go first.
        costs: what each cost at each consumer, or group of it, (dropped, parts), float64.
        alive: which channels are left, (channels,).
        left: what dropping one more of them would cost, (channels,); of a dropped one nothing.
    """

    order: list[int]
    costs: Tensor
    alive: Tensor
    left: Tensor


class _Solved:
    """The least squares of one consumer, or of a group of it, with all channels."""

    def __init__(self, rows: Tensor, found: Fit, metric: Tensor | None, apart: bool) -> None:
        self.rows = rows  # (channels, rows of each)
        self.factor = found.factor
        self.variance = float(found.variance.sum())
        if metric is None:  # relative to the outputs' variance
            variance = found.variance.clamp(min=1e-12 * float(found.variance.max()) or 1.0)
            root = 1 / (variance if apart else variance.sum()).sqrt()
            self.kernel = found.kernel.T * root
        else:
            values, vectors = torch.linalg.eigh(metric)
            root = (vectors * values.clamp(min=0).sqrt())[:, values > 0]
            self.kernel = found.kernel.T @ root.to(found.kernel)

    def share(self, total: float) -> None:
        """Make costs relative to the variance of more outputs than these."""
        if total > self.variance:
            self.kernel *= (self.variance / total) ** 0.5


def _states(parts: list[_Solved]) -> list[tuple[Elimination, list[tuple[int, int]]]]:
    """The eliminations of all parts, one for those that have their factor in common.

    Takes the parts' factors and kernels apart.

    Returns:
        With each, the numbers of its parts and how many columns each has there.
    """
    together: dict[int, list[int]] = {}
    for number, part in enumerate(parts):
        if part.kernel.shape[1]:  # else it costs nothing
            together.setdefault(id(part.factor), []).append(number)
    states = []
    for numbers in together.values():
        rows, factor = parts[numbers[0]].rows, parts[numbers[0]].factor
        inverse = inverse_from_factor(factor).mT  # in place, and symmetric
        kernel = torch.cat([parts[number].kernel for number in numbers], 1).to(factor.dtype)
        flat = rows.flatten()
        if not torch.equal(flat, torch.arange(len(kernel), device=flat.device)):
            inverse, kernel = inverse[flat[:, None], flat], kernel[flat]
        outputs = [(number, parts[number].kernel.shape[1]) for number in numbers]
        states.append((Elimination(inverse, kernel.contiguous(), rows.shape[1]), outputs))
    for part in parts:
        del part.factor, part.kernel
    return states


def channel_rows(consumer: Layer, channels: int) -> Tensor:
    """Rows of the flattened kernel that belong to each of the group's channels, (channels, m)."""
    taps = consumer.module.weight[0, 0].numel()
    order = torch.sort(consumer.root, stable=True).indices
    index = consumer.index[order].view(channels, -1)
    offsets = torch.arange(taps, device=index.device)
    return (index[:, :, None] * taps + offsets).flatten(1)
