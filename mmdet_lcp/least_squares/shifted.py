"""Solutions of damped equations for several dampings from the factor for one of them.

With A + d I = L L' and M = L^-1 L^-T, the solution for another damping e is

    (A + e I)^-1 b = L^-T (I + (e - d) M)^-1 L^-1 b

M has its eigenvalues between 0 and 1 / d, so that the matrix in the middle has a condition of at
most e / d or d / e, whatever A is. Lanczos' method therefore needs a few steps, the same for all
dampings: a Krylov space does not change with a shift (shift-and-invert Lanczos; Ericsson and Ruhe,
Mathematics of Computation, 1980). A step takes two triangular solves.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def shifted_solutions(
    factor: Tensor, right: Tensor, shifts: Sequence[float], tolerance: float, steps: int
) -> list[Tensor | None]:
    """Solutions of (A + d I + s I) x = b for each shift s and each column b.

    Args:
        factor: Cholesky factor of A + d I, (n, n), lower.
        right: the columns, (n, k), in the factor's precision.
        shifts: each larger than -d; 0 is the factor's own.
        tolerance: largest residual of L^-1 (A + (d + s) I) x = L^-1 b over the right-hand side's
            norm.
        steps: at most so many, >= 1.

    Returns:
        With each shift, (n, k); ``None`` where so many steps were not enough.
    """
    start = torch.linalg.solve_triangular(factor, right, upper=False)
    tiny = torch.finfo(start.dtype).tiny
    norm = start.norm(dim=0)
    basis = start.new_empty(steps, *start.shape)
    basis[0] = start / norm.clamp(min=tiny)
    # The tridiagonal matrices of all columns, (k, steps, steps).
    small = start.new_zeros((len(norm), steps, steps), dtype=torch.float64)
    weights: dict[int, Tensor] = {}
    for step in range(steps):
        known, last = basis[: step + 1], basis[step]
        image = torch.linalg.solve_triangular(factor.mT, last, upper=True)
        image = torch.linalg.solve_triangular(factor, image, upper=False)
        small[:, step, step] = (image * last).sum(0)
        for _ in range(2):  # once is not enough in single precision
            image = image - (known * (known * image).sum(1, keepdim=True)).sum(0)
        beyond = image.norm(dim=0)
        for number, shift in enumerate(shifts):
            if number not in weights:
                found = _first_column(small[:, : step + 1, : step + 1], shift)
                if float((abs(shift) * beyond * found[:, -1].abs()).max()) <= tolerance:
                    weights[number] = found
        if len(weights) == len(shifts) or step + 1 == steps:
            break
        small[:, step, step + 1] = small[:, step + 1, step] = beyond
        basis[step + 1] = image / beyond.clamp(min=tiny)
    solutions: list[Tensor | None] = [None] * len(shifts)
    for number, found in weights.items():
        parts = (found.to(start).mT * norm).unsqueeze(1)  # (m, 1, k)
        mixed = (basis[: len(parts)] * parts).sum(0)
        solutions[number] = torch.linalg.solve_triangular(factor.mT, mixed, upper=True)
    return solutions


def _first_column(small: Tensor, shift: float) -> Tensor:
    """First column of (I + s T)^-1 for each T, (k, m)."""
    eye = torch.eye(small.shape[-1], dtype=small.dtype, device=small.device)
    return torch.linalg.solve(eye + shift * small, eye[:, :1])[:, :, 0]
