"""Elimination of blocks against solving what is left anew."""

import numpy as np
import pytest
import torch

from mmdet_lcp.least_squares.elimination import DELAY, Elimination


def make(blocks, size, out, seed=0, rank=None, damping=1e-3):
    """H, B and the state after solving H W = B."""
    random = np.random.default_rng(seed)
    n = blocks * size
    x = random.normal(size=(rank or 3 * n, n)) @ (np.eye(n) + random.normal(size=(n, n)) / 4)
    h = x.T @ x / len(x)
    h += damping * h.diagonal().mean() * np.eye(n)
    y = x @ random.normal(size=(n, out)) + random.normal(size=(len(x), out))
    b = x.T @ y / len(x) + damping * random.normal(size=(n, out))
    inverse = np.linalg.inv(h)
    return h, b, Elimination(torch.tensor(inverse), torch.tensor(inverse @ b), size)


def least(h, b, size, blocks):
    """min over W of tr(W'HW) - 2 tr(W'B) for each output, with some blocks of rows alone."""
    rows = [block * size + i for block in sorted(blocks) for i in range(size)]
    return -(b[rows] * np.linalg.solve(h[np.ix_(rows, rows)], b[rows])).sum(0)


@pytest.mark.parametrize(('blocks', 'size', 'out'), [(40, 1, 3), (45, 4, 3), (20, 9, 30)])
def test_costs_are_those_of_solving_anew_at_every_drop(blocks, size, out):
    h, b, state = make(blocks, size, out)
    left = set(range(blocks))
    for block in np.random.default_rng(1).permutation(blocks)[: blocks - 1]:
        now = least(h, b, size, left)
        costs = state.costs()
        expected = [
            (least(h, b, size, left - {i}) - now).sum() if i in left else 0.0
            for i in range(blocks)
        ]
        np.testing.assert_allclose(costs, expected, rtol=1e-6, atol=1e-9)
        paid = state.drop(int(block))
        np.testing.assert_allclose(paid, least(h, b, size, left - {block}) - now, atol=1e-9)
        left.remove(block)
    assert blocks > DELAY + 1  # the kernels were brought up to date on the way


@pytest.mark.parametrize('damping', [1e-1, 1e-3, 1e-5])
def test_rank_deficient_moments(damping):
    """Fewer samples than rows, as for a layer with small maps."""
    h, b, state = make(30, 4, 5, rank=50, damping=damping)
    left = set(range(30))
    for _ in range(20):
        costs = state.costs()
        now = least(h, b, 4, left)
        drop = min(left, key=lambda i: float(costs[i]))
        assert float(costs[drop]) == pytest.approx(
            (least(h, b, 4, left - {drop}) - now).sum(), rel=1e-4, abs=1e-9 * abs(now.sum())
        )
        state.drop(drop)
        left.remove(drop)


def test_a_block_that_rounding_left_not_positive_is_dropped_all_the_same():
    inverse = torch.diag(torch.tensor([1.0, 1.0, -1e-17, 1.0], dtype=torch.float64))
    state = Elimination(inverse, torch.eye(4, dtype=torch.float64), 2)
    assert torch.isfinite(state.drop(1)).all()
    assert state.costs().tolist() == [2.0, 0.0]
