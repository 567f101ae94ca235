"""Least squares from which blocks of rows are dropped, one at a time, at a known cost each."""

import torch
from torch import Tensor

DELAY = 16  # drops after which the kernels are brought up to date


class Elimination:
    """What each block of rows would cost, and the least squares without those that are dropped.

    With H the damped second moments and W the solution, dropping the rows c raises the squared
    error by tr(W_c' ([H^-1]_cc)^-1 W_c) and leaves

        H^-1 - U ([H^-1]_cc)^-1 U'      W - U ([H^-1]_cc)^-1 W_c      U = [H^-1]_:c

    (Hassibi and Stork, NeurIPS 1992, in blocks). Only the blocks on the diagonal and the inner
    products of each block of W are kept up to date, for they are all that the costs need. The
    rest waits: with [H^-1]_cc = L L' and V = L^-1 U', the columns of a block are what they were
    at first less the sum of V_c' V over the drops before. That is a left-looking Cholesky
    factorisation with the dropped blocks as pivots. A drop reads what was dropped before it
    instead of writing all of H^-1, and V lies where H^-1 has lost its rows.

    Args:
        inverse: H^-1, (n, n) float64, contiguous; is overwritten.
        kernel: W, (n, out) float64, contiguous; is overwritten.
        size: rows of a block: those of block i are i * size to (i + 1) * size.
    """

    def __init__(self, inverse: Tensor, kernel: Tensor, size: int) -> None:
        self._inverse, self._kernel, self._size = inverse, kernel, size
        self._blocks = len(inverse) // size
        self._dropped = self._applied = 0
        # Position of each block, and the block at each position: the dropped ones stand first.
        self._place = list(range(self._blocks))
        self._order = list(range(self._blocks))
        self._at = torch.arange(self._blocks, device=inverse.device)
        grid = inverse.view(self._blocks, size, self._blocks, size)
        self._diagonal = grid.diagonal(dim1=0, dim2=2).permute(2, 0, 1).contiguous()
        self._squares = torch.empty_like(self._diagonal)
        self._refresh()

    def costs(self) -> Tensor:
        """What dropping each block would cost, (blocks,); zero for those that are gone."""
        diagonal, squares = self._diagonal[self._dropped :], self._squares[self._dropped :]
        if self._size == 1:
            found = (squares / diagonal).flatten()
        else:
            solved = torch.linalg.solve(diagonal, squares)
            found = solved.diagonal(dim1=1, dim2=2).sum(1)
        costs = found.new_zeros(self._blocks)
        costs[self._at[self._dropped :]] = found
        return costs

    def drop(self, block: int) -> Tensor:
        """Drop a block; returns what it costs at each output, (out,)."""
        size, first = self._size, self._dropped * self._size
        rest, recent = first + size, self._applied * size
        before, row, kernel = self._take(block)
        done = self._inverse[:first, rest:]
        own, columns = row[:, :size], row[:, size:]
        if first:
            own = own - before.T @ before
            columns = torch.addmm(columns, before.T, done, alpha=-1)
            kernel = torch.addmm(kernel, before[recent:].T, self._kernel[recent:first], alpha=-1)
        factor = _factor(own)
        columns = torch.linalg.solve_triangular(factor, columns, upper=False)
        kernel = torch.linalg.solve_triangular(factor, kernel, upper=False)
        # W would change by -V' Y with Y = L^-1 W_c, and its inner products by what follows.
        products = kernel @ self._kernel[rest:].T
        if recent < first:
            shared = kernel @ self._kernel[recent:first].T
            products.addmm_(shared, done[recent:], alpha=-1)
        products.addmm_(kernel @ kernel.T, columns, alpha=-0.5)
        left = (size, self._blocks - self._dropped - 1, size)
        v, p = columns.view(left).permute(1, 2, 0), products.view(left).permute(1, 0, 2)
        change = v @ p
        self._dropped += 1
        self._squares[self._dropped :] -= change + change.mT
        self._diagonal[self._dropped :] -= v @ v.mT
        self._inverse[first:rest, rest:] = columns
        self._kernel[first:rest] = kernel
        if self._dropped - self._applied == DELAY:
            self._apply()
        return kernel.square().sum(0)

    def _take(self, block: int) -> tuple[Tensor, Tensor, Tensor]:
        """Make a block the next of the dropped: its rows as they were at first, its place theirs.

        Returns:
            Its columns of V, its rows of H^-1 from its own columns on, and its rows of W.
        """
        size, next_ = self._size, self._dropped
        place, other = self._place[block], self._order[next_]
        self._order[place], self._order[next_] = other, block
        self._place[block], self._place[other] = next_, place
        self._at[place], self._at[next_] = other, block
        here = slice(place * size, (place + 1) * size)
        there = slice(next_ * size, (next_ + 1) * size)
        row = self._inverse[here].view(size, self._blocks, size)
        row = row.index_select(1, self._at[next_:]).flatten(1)  # H^-1 keeps its columns' order
        done = self._inverse[: next_ * size]
        before, kernel = done[:, here].clone(), self._kernel[here].clone()
        if place != next_:
            self._inverse[here] = self._inverse[there]
            done[:, here] = done[:, there]
            self._kernel[here] = self._kernel[there]
            self._diagonal[place] = self._diagonal[next_]
            self._squares[place] = self._squares[next_]
        return before, row, kernel

    def _apply(self) -> None:
        """Bring W up to date."""
        new = slice(self._applied * self._size, self._dropped * self._size)
        left = slice(self._dropped * self._size, None)
        self._kernel[left].addmm_(self._inverse[new, left].T, self._kernel[new], alpha=-1)
        self._applied = self._dropped
        self._refresh()

    def _refresh(self) -> None:
        """Take the inner products of W's blocks from W."""
        kernel = self._kernel[self._dropped * self._size :].unflatten(0, (-1, self._size))
        torch.bmm(kernel, kernel.mT, out=self._squares[self._dropped :])


def _factor(block: Tensor) -> Tensor:
    """Cholesky factor; where rounding left the block not positive, of one a bit larger."""
    more = torch.finfo(block.dtype).eps * float(block.diagonal().mean().abs())
    factor, failed = torch.linalg.cholesky_ex(block)
    while int(failed):
        more *= 10
        factor, failed = torch.linalg.cholesky_ex(block + more * torch.eye(len(block)).to(block))
    return factor
