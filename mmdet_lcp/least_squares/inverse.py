"""The inverse of a symmetric matrix from its Cholesky factor, in place and tile by tile."""

import torch
from torch import Tensor

TILE = 384  # rows and columns of a tile
LEAST = 2048  # rows; below, LAPACK's own is as fast


def inverse_from_factor(factor: Tensor) -> Tensor:
    """H^-1 from the factor L of H = L L', written over it.

    The steps are LAPACK's (potri: first L^-1, then its product with itself), with whole rows of
    tiles in each product. MKL 2024.2 is half as fast where n is some thousands.

    Args:
        factor: (n, n), lower; what is above the diagonal does not count.

    Returns:
        ``factor``, which is H^-1 now, both halves of it.
    """
    if len(factor) < LEAST:
        return torch.cholesky_inverse(factor, out=factor)
    starts = range(0, len(factor), TILE)
    for start in reversed(starts):
        own, below = slice(start, start + TILE), slice(start + TILE, None)
        block = factor[own, own]
        eye = torch.eye(len(block), dtype=block.dtype, device=block.device)
        block.copy_(torch.linalg.solve_triangular(block, eye, upper=False))
        # L^-1 is there below and to the right already.
        right = factor[below, own] @ block
        for row in starts[start // TILE + 1 :]:
            rows = slice(row, row + TILE)
            done = factor[rows, start + TILE : row + TILE]
            factor[rows, own] = -(done @ right[: row - start])
    for start in starts:
        own = slice(start, start + TILE)
        product = factor[start:, own].T @ factor[start:, : start + TILE]
        factor[own, : start + TILE] = product
    for start in starts:
        factor[:start, start : start + TILE] = factor[start : start + TILE, :start].T
    return factor
