"""Exact backward elimination: drop the channel that the least squares can best do without.

The project's own criterion. It takes LCP's reconstruction (Xie et al., arXiv 1911.02237, L_re)
in closed form and drops one channel at a time, as Optimal Brain Surgeon does with single weights
(Hassibi and Stork, NeurIPS 1992): what the loss grows by, with all remaining kernels solved anew,
is known without solving. Localisation enters through the weights of the positions and through the
metric of the outputs.
"""

from typing import Literal

import torch
from torch import Tensor

from mmdet_lcp.criteria.base import Criterion, Selection
from mmdet_lcp.criteria.least_squares import check_ridge, fit
from mmdet_lcp.criteria.moments import Moments
from mmdet_lcp.criteria.problem import Layer, SelectionProblem
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import CRITERIA


@CRITERIA.register_module()
class BackwardElimination(Criterion):
    """Drops channels one by one, each time the one that costs least.

    With H the damped second moments of a consumer's rows, W its least-squares kernel and c the
    rows of a channel, dropping it raises the weighted squared error by

        tr(M W_c' ([H^-1]_cc)^-1 W_c)

    where M weighs errors of the outputs against each other. Costs of several consumers add up.

    Args:
        ridge: of the least squares, relative to the rows' mean variance, > 0; ``'auto'`` chooses
            it by the error of the unpruned fit on held-out images.
        metric: M. ``'gradient'``: E[g g'] of the gradient g of the original detector's own loss
            (classification and boxes) at the output, a second-order model of that loss;
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

    @torch.no_grad()
    def select(self, problem: SelectionProblem, keep: int) -> Selection:
        """Pick ``keep`` channels.

        ``scores`` tell the order of elimination: a dropped channel has its rank, 0 for the first
        to go; one that stays has the number of dropped ones plus its share of the final costs.
        """
        moments = problem.moments()
        parts = [
            _Elimination(
                problem,
                path,
                moments[path],
                self.ridge,
                self._metric(problem, path),
                apart=self.metric == 'variance',
            )
            for path in problem.consumers
        ]
        alive = torch.ones(problem.channels, dtype=torch.bool)
        scores = torch.zeros(problem.channels, dtype=torch.float64)
        lost = 0.0
        costs = sum(part.costs(alive) for part in parts)
        for rank in range(problem.channels - keep):
            drop = int(costs.masked_fill(~alive, torch.inf).argmin())
            lost += float(costs[drop])
            scores[drop] = rank
            alive[drop] = False
            for part in parts:
                part.drop(drop)
            costs = sum(part.costs(alive) for part in parts)
        stay = costs[alive]
        scores[alive] = problem.channels - keep + stay / stay.sum().clamp(min=1e-300)
        kept = alive.nonzero().flatten().tolist()
        return Selection(kept, scores.tolist(), {'cost': lost})

    def _metric(self, problem: SelectionProblem, path: str) -> Tensor | None:
        """M, (out, out); ``None`` where it is computed from the moments."""
        if self.metric != 'gradient':
            return None
        metric = (problem.metrics or {}).get(path)
        if metric is None:
            raise CompressionError(
                f"pruning.criterion.metric='gradient': the loss of the detector does not reach "
                f"{path}. Use metric='variance'."
            )
        return metric


class _Elimination:
    """The state of one consumer: H^-1 and W of the channels that are left."""

    def __init__(
        self,
        problem: SelectionProblem,
        path: str,
        moments: tuple[Moments, Moments],
        ridge: float | str,
        metric: Tensor | None,
        apart: bool,
    ) -> None:
        consumer = problem.consumers[path]
        start = consumer.module.weight.flatten(1).double()
        rows = torch.arange(start.shape[1], device=start.device)
        found = fit(moments, rows, start, ridge, consumer.intercept)
        self.inverse = torch.cholesky_inverse(found.factor)
        if metric is None:  # relative to the outputs' variance
            variance = found.variance.clamp(min=1e-12 * float(found.variance.max()) or 1.0)
            root = 1 / (variance if apart else variance.sum()).sqrt()
            self.kernel = found.kernel.T * root
        else:
            values, vectors = torch.linalg.eigh(metric)
            root = vectors * values.clamp(min=0).sqrt()
            self.kernel = found.kernel.T @ root.to(found.kernel)
        self.rows = channel_rows(consumer, problem.channels)  # (channels, rows of each)

    def costs(self, alive: Tensor) -> Tensor:
        """What dropping each channel would cost, (channels,) on the CPU; dropped ones too."""
        blocks = self.inverse[self.rows[:, :, None], self.rows[:, None, :]]
        gone = ~alive.to(blocks.device)
        blocks[gone] = torch.eye(blocks.shape[1]).to(blocks)
        kernels = self.kernel[self.rows]  # channels, rows, out
        return (kernels * torch.linalg.solve(blocks, kernels)).sum((1, 2)).cpu()

    def drop(self, channel: int) -> None:
        """Solve W anew and downdate H^-1, without one channel."""
        rows = self.rows[channel]
        columns = self.inverse[:, rows]
        block = columns[rows]
        # In place: these matrices are large (4608 x 4608 for 512 channels under a 3x3 kernel).
        self.kernel.addmm_(columns, torch.linalg.solve(block, self.kernel[rows]), alpha=-1)
        self.inverse.addmm_(columns, torch.linalg.solve(block, columns.T), alpha=-1)


def channel_rows(consumer: Layer, channels: int) -> Tensor:
    """Rows of the flattened kernel that belong to each of the group's channels, (channels, m)."""
    taps = consumer.module.weight[0, 0].numel()
    order = torch.sort(consumer.root, stable=True).indices
    index = consumer.index[order].view(channels, -1)
    offsets = torch.arange(taps, device=index.device)
    return (index[:, :, None] * taps + offsets).flatten(1)
