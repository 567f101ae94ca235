"""The exact update: the kernels that reconstruct the original output best, by least squares.

Minimises the reconstruction error L_re of LCP (Xie et al., arXiv 1911.02237) over the kernels
of the channels that stay, in closed form from second moments, instead of descending on it.
ThiNet (Luo et al., ICCV 2017) and Channel Pruning (He et al., ICCV 2017) do the like.
"""

import torch
import torch.nn.functional as F
from mmengine import dist
from torch import Tensor, nn

from mmdet_lcp.criteria import SelectionProblem
from mmdet_lcp.criteria.checks import check_integer, check_positive
from mmdet_lcp.criteria.problem import Consumer
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import UPDATES
from mmdet_lcp.updates.base import Update


@UPDATES.register_module()
class ExactUpdate(Update):
    """Least squares with a ridge towards the present kernels.

    With rows x_i (the inputs of the kept channels under the kernel at position i) and targets
    y_i (the original output there), W and the bias minimise

        sum_i ||y_i - W x_i - b||^2 + ridge * tr(H) / n * ||W - W_now||^2

    with H the covariance of the rows and n their length: directions that the data do not show
    keep their kernels.

    Args:
        ridge: strength of that pull, relative to the rows' mean variance, > 0.
        positions: output positions drawn from each image, >= 1; more cost memory and time.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(self, ridge: float = 1e-2, positions: int = 400) -> None:
        check_positive('pruning.update.ridge', ridge)
        check_integer('pruning.update.positions', positions, least=1)
        self.ridge = ridge
        self.positions = positions

    @torch.no_grad()
    def apply(self, problem: SelectionProblem, keep: list[int]) -> dict[str, float]:
        """Solve for every consumer; returns the mean squared error before and after."""
        before = after = 0.0
        weights = problem.masked(problem.weights(), keep)
        problem.write(weights)
        for path, consumer in problem.consumers.items():
            rows = kept_rows(consumer, problem.channels, keep)
            moments = self._moments(problem, path, consumer, rows)
            kernel = consumer.module.weight.flatten(1)
            start = kernel[:, rows].double()
            biased = consumer.module.bias is not None
            solved, bias, errors = _solve(*moments, start, self.ridge, biased)
            kernel[:, rows] = solved.to(kernel.dtype)
            consumer.module.weight.copy_(kernel.view_as(consumer.module.weight))
            if biased:
                consumer.module.bias.copy_(bias)
            before += errors[0]
            after += errors[1]
        return {'error_before': before, 'error_after': after}

    def _moments(
        self, problem: SelectionProblem, path: str, consumer: Consumer, rows: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Sums over all positions of all ranks: count, x, y, x x', x y', y y (per output)."""
        generator = torch.Generator().manual_seed(problem.seed)
        sums: list[Tensor] | None = None
        for batch in problem.batches:
            target = batch.targets[path].flatten(2) if batch.targets[path].dim() == 4 else None
            if target is None:  # a linear layer: one position an item
                x, y = batch.inputs[path].double(), batch.targets[path].double()
                x = x[:, rows]
            else:
                count = target.shape[2]
                chosen = torch.randperm(count, generator=generator)[: self.positions]
                chosen = chosen.to(target.device)
                x = _patches(consumer.module, batch.inputs[path], chosen)[:, rows].double()
                y = target[:, :, chosen].permute(0, 2, 1).flatten(0, 1).double()
            terms = [
                torch.tensor(float(len(x)), dtype=torch.float64, device=x.device),
                x.sum(0),
                y.sum(0),
                x.T @ x,
                x.T @ y,
                y.square().sum(0),
            ]
            sums = terms if sums is None else [s + t for s, t in zip(sums, terms, strict=True)]
        for value in sums:
            dist.all_reduce(value)
        return tuple(sums)


def kept_rows(consumer: Consumer, channels: int, keep: list[int]) -> Tensor:
    """Columns of the flattened kernel that may change: those of kept channels.

    Input channels of the consumer that belong to other groups stay as they are.
    """
    stay = torch.zeros(channels, dtype=torch.bool)
    stay[keep] = True
    weight = consumer.module.weight
    mask = torch.ones(weight.shape[1], dtype=torch.bool, device=weight.device)
    mask[consumer.index] = stay[consumer.root.cpu()].to(weight.device)
    taps = weight[0, 0].numel()
    return mask.repeat_interleave(taps).nonzero().flatten()


def _patches(module: nn.Conv2d, inputs: Tensor, chosen: Tensor) -> Tensor:
    """Rows (N * positions, in_channels * kernel) under the kernel at chosen output positions."""
    if module.padding_mode != 'zeros' or isinstance(module.padding, str):
        raise CompressionError(
            f'pruning.update: ExactUpdate knows convolutions with zero padding, not {module}'
        )
    (kh, kw), (sh, sw), (dh, dw) = module.kernel_size, module.stride, module.dilation
    ph, pw = module.padding
    padded = F.pad(inputs, (pw, pw, ph, ph))
    width = (padded.shape[3] - dw * (kw - 1) - 1) // sw + 1
    top, left = (chosen // width) * sh, (chosen % width) * sw
    dy = torch.arange(kh, device=inputs.device) * dh
    dx = torch.arange(kw, device=inputs.device) * dw
    y = (top.view(-1, 1, 1) + dy.view(1, -1, 1)).expand(-1, kh, kw)
    x = (left.view(-1, 1, 1) + dx.view(1, 1, -1)).expand(-1, kh, kw)
    rows = padded[:, :, y, x]  # N, C, positions, kh, kw
    return rows.permute(0, 2, 1, 3, 4).flatten(2).flatten(0, 1)


def _solve(
    count: Tensor,
    x: Tensor,
    y: Tensor,
    xx: Tensor,
    xy: Tensor,
    yy: Tensor,
    start: Tensor,
    ridge: float,
    biased: bool,
) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """Kernels (out, rows), bias (out,) and mean squared errors before and after."""
    # Without a bias nothing can take up the means, so the moments are those about zero.
    mean_x, mean_y = (x / count, y / count) if biased else (x * 0, y * 0)
    covariance = xx / count - torch.outer(mean_x, mean_x)
    cross = xy / count - torch.outer(mean_x, mean_y)
    variance = yy / count - mean_y.square()
    scale = covariance.diagonal().mean().clamp(min=torch.finfo(torch.float64).tiny)
    damped = covariance + ridge * scale * torch.eye(len(covariance)).to(covariance)
    residual = cross - covariance @ start.T  # solve for the change, which the ridge shrinks
    solved = start + torch.linalg.solve(damped, residual).T

    def error(kernel: Tensor) -> float:
        fitted = (kernel @ covariance * kernel).sum(1) - 2 * (kernel * cross.T).sum(1)
        return float((variance + fitted).mean())

    return solved, mean_y - solved @ mean_x, (error(start), error(solved))
