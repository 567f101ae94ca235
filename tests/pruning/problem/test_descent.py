"""Descent against the same algorithm written out, and a closed form."""

import numpy as np
import pytest
import torch
from closeness import close
from torch import nn

from mmdet_lcp.pruning.problem.descent import descend
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch


def test_descent_never_ends_higher(make_problem, quadratic):
    made = make_problem(auxiliary=quadratic())
    start = made.problem.weights()
    for lr in (1e-3, 1.0, 1e4):
        weights, history = descend(made.problem, start, [0, 3], lr, 8)
        assert history == sorted(history, reverse=True)
        assert 1 <= len(history) <= 9
        close(history[0], float(made.loss(made.zeroed(start, [0, 3]))))
        close(history[-1], float(made.loss(weights)))
        stay = made.zeroed(weights, [0, 3])
        assert all(torch.equal(weights[path], stay[path]) for path in weights)
        assert history[-1] < history[0] or lr == 1e4


@pytest.mark.parametrize('lr', [0.05, 1.0, 30.0, 1e6])
def test_descent_is_momentum_with_steps_taken_back(make_problem, quadratic, lr):
    made = make_problem(auxiliary=quadratic())
    start = made.problem.weights()
    weights, history = descend(made.problem, start, [1, 2], lr, 5)
    expected, course = made.descent(start, [1, 2], lr, 5)
    assert len(history) == len(course) > 1
    close(history, course)
    for path, weight in weights.items():
        close(weight, expected[path])


def test_a_descent_that_explodes_on_and_on_ends(make_problem):
    made = make_problem()
    start = made.problem.weights()
    weights, history = descend(made.problem, start, [1, 2], 1e300, 5)
    assert len(history) == 1
    stay = made.zeroed(start, [1, 2])
    assert all(torch.equal(weights[path], stay[path]) for path in weights)


def test_no_passes(make_problem):
    made = make_problem()
    weights, history = descend(made.problem, made.problem.weights(), [4], 1.0, 0)
    expected = made.zeroed(made.problem.weights(), [4])
    assert history == []
    assert all(torch.equal(weights[path], expected[path]) for path in weights)


def test_descent_finds_the_least_squares_solution():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    y = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    layer = nn.Linear(6, 3).double()
    # Several batches would each pull to a solution of their own.
    batches = [SelectionBatch({'fc': x}, {'fc': y}, None)]
    problem = SelectionProblem(
        'g',
        6,
        {'fc': Layer(layer, torch.arange(6), torch.arange(6))},
        {},
        BatchCache(lambda: batches),
    )
    keep = [0, 2, 5]
    weights, history = descend(problem, problem.weights(), keep, 0.3, 2000)
    target = (y - layer.bias.detach()).numpy()
    solution, *_ = np.linalg.lstsq(x[:, keep].numpy(), target, rcond=None)
    np.testing.assert_allclose(weights['fc'][:, keep].numpy(), solution.T, atol=1e-7)
    least = ((x[:, keep].numpy() @ solution - target) ** 2).mean() / 2
    np.testing.assert_allclose(history[-1], least, rtol=1e-12)
