"""Read shared weights, and sum their gradients over the members of each centroid, fast.

Deep Compression (Han et al., ICLR 2016), section 3.3: ∂L/∂C_k = Σ ∂L/∂W_ij · 1(I_ij = k). Which
weight belongs to which centroid does not change while the centroids are trained, so the members
are found once. Nothing is added atomically: a run gives the same bits again on every device.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 256  # members of one centroid that are summed at a time
CHUNK = 1 << 16  # members that are summed at a time, so that they stay in the cache


class MemberSums(Protocol):
    """Sums of numbers over the members of each centroid."""

    def __call__(self, values: Tensor) -> Tensor:
        """The sums, (count,).

        Args:
            values: of the index's shape.
        """


def member_sums(index: Tensor, count: int) -> MemberSums:
    """The way to sum that suits a device.

    Args:
        index: any shape, uint8; 0 for a weight without centroid, else the centroid's number + 1.
        count: number of centroids.
    """
    kind = CountedSums if index.device.type == 'cpu' else BlockSums
    return kind(index, count)


class CountedSums:
    """One addition after the other, as a CPU likes it; see `member_sums`."""

    def __init__(self, index: Tensor, count: int) -> None:
        flat = index.detach().flatten()
        self.members = None if bool(flat.all()) else flat.nonzero().flatten().int()
        self.numbers = (flat if self.members is None else flat[self.members]) - 1
        self.count = count

    def __call__(self, values: Tensor) -> Tensor:
        """See `MemberSums`."""
        values = values.reshape(-1)
        if self.members is not None:
            values = values.index_select(0, self.members)
        total = torch.zeros(self.count, dtype=torch.float64)
        for numbers, part in zip(self.numbers.split(CHUNK), values.split(CHUNK), strict=True):
            total += torch.bincount(numbers, part.double(), self.count)
        return total.to(values.dtype)


class BlockSums:
    """All at once, as a GPU likes it; see `member_sums`.

    The members are put in order, in blocks of one centroid each; a sum is then a gather and two
    sums of rows.
    """

    def __init__(self, index: Tensor, count: int) -> None:
        flat = index.detach().flatten()
        members = flat.nonzero().flatten()
        numbers = flat[members].long() - 1
        order = numbers.argsort(stable=True)
        members, numbers = members[order], numbers[order]
        sizes = torch.bincount(numbers, minlength=count)
        blocks = (sizes + BLOCK - 1) // BLOCK
        first_block = blocks.cumsum(0) - blocks
        total = int(blocks.sum())
        # A centroid's members fill its blocks from the first one on.
        rank = torch.arange(len(members), device=flat.device) - (sizes.cumsum(0) - sizes)[numbers]
        places = first_block[numbers] * BLOCK + rank
        self.order = torch.zeros(total * BLOCK, dtype=torch.int32, device=flat.device)
        self.order[places] = members.int()
        free = torch.ones(total * BLOCK, dtype=torch.bool, device=flat.device)
        free[places] = False
        self.free = free.nonzero().flatten()
        most = int(blocks.max()) if count else 0
        column = torch.arange(most, device=flat.device)
        rows = first_block[:, None] + column
        self.rows = torch.where(column < blocks[:, None], rows, total)

    def __call__(self, values: Tensor) -> Tensor:
        """See `MemberSums`."""
        gathered = values.reshape(-1).index_select(0, self.order)
        gathered.index_fill_(0, self.free, 0.0)
        partial = gathered.view(-1, BLOCK).sum(1)
        return torch.cat([partial, partial.new_zeros(1)])[self.rows].sum(1)


class MemberMeans:
    """Means over the members of each centroid.

    Args:
        sums: of the same centroids.
        index: see `member_sums`.
    """

    def __init__(self, sums: MemberSums, index: Tensor) -> None:
        self.sums = sums
        self.sizes = sums(torch.ones(index.shape, device=index.device)).clamp(min=1)

    def __call__(self, values: Tensor) -> Tensor:
        """See `MemberSums`."""
        return self.sums(values) / self.sizes


class ReadShared(torch.autograd.Function):
    """Differentiable table[index], the gradient summed by `member_sums`.

    Apply it to (centroids, index, sums): index as for `member_sums`, which is read as zero where
    it is 0.
    """

    @staticmethod
    def forward(ctx: Any, centroids: Tensor, index: Tensor, sums: MemberSums | None) -> Tensor:
        """The weights, of the index's shape."""
        ctx.sums = sums
        table = torch.cat([centroids.new_zeros(1), centroids])
        # An int32 copy of the index: the int64 one that table[index] wants takes 5 times as long.
        return table.index_select(0, index.reshape(-1).int()).view(index.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of the centroids."""
        return ctx.sums(gradient), None, None
