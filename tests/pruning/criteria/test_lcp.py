"""LCP's criterion against slow loops written out here."""

import math

import pytest
import torch
from closeness import close
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import LCP
from mmdet_lcp.pruning.criteria.lcp import gradient_shares
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch


def best(scores, count):
    return sorted(sorted(range(len(scores)), key=lambda k: (-scores[k], k))[:count])


@pytest.mark.parametrize('reference', ['selected', 'full'])
@pytest.mark.parametrize('keep', range(1, 6))
def test_one_ranking(make_problem, quadratic, reference, keep):
    made = make_problem(auxiliary=quadratic(), seed=keep)
    weights = made.problem.weights()
    at = made.zeroed(weights, []) if reference == 'selected' else weights
    expected = made.sensitivity(at)
    selection = LCP(reference).select(made.problem, keep)
    close(selection.scores, expected)
    assert selection.keep == best(expected, keep)
    after = made.problem.weights()
    assert all(torch.equal(after[path], weights[path]) for path in weights)


def test_full_reference_without_anything_to_reconstruct(make_problem, quadratic):
    made = make_problem(perfect=True, auxiliary=quadratic())
    selection = LCP('full').select(made.problem, 2)
    assert selection.log['share_reconstruction'] <= 1e-20
    close(selection.scores, made.sensitivity(made.problem.weights(), terms=('cls', 'box')))


def greedy(made, keep, portions, inner_passes=0, lr=1.0):
    """DCP's rule with the loss of the test: add, descend, look again."""
    original = made.problem.weights()
    current = made.zeroed(original, [])
    selected, scores = [], [0.0] * made.channels
    for number, portion in enumerate(portions):
        now = made.sensitivity(current)
        for k in range(made.channels):
            if k not in selected:
                scores[k] = now[k]
        left = [k for k in range(made.channels) if k not in selected]
        fresh = sorted(left, key=lambda k: (-now[k], k))[:portion]
        selected = sorted(selected + fresh)
        if number + 1 == len(portions):
            break
        for path, (index, root) in made.maps.items():
            for i, k in zip(index.tolist(), root.tolist(), strict=True):
                if k in fresh:
                    current[path][:, i] = original[path][:, i]
        current, _ = made.descent(current, selected, lr, inner_passes)
    return selected, scores


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('keep', [1, 2, 3, 4, 5])
def test_one_channel_at_a_time(make_problem, quadratic, keep, seed):
    made = make_problem(auxiliary=quadratic(), seed=seed)
    selection = LCP(greedy_steps=keep, inner_passes=0).select(made.problem, keep)
    selected, scores = greedy(made, keep, [1] * keep)
    assert selection.keep == selected
    close(selection.scores, scores)


@pytest.mark.parametrize('seed', range(2))
@pytest.mark.parametrize('lr', [0.05, 100.0])
def test_inner_passes(make_problem, quadratic, lr, seed):
    made = make_problem(auxiliary=quadratic(), seed=seed)
    selection = LCP(greedy_steps=3, inner_passes=4, inner_lr=lr).select(made.problem, 3)
    selected, scores = greedy(made, 3, [1, 1, 1], inner_passes=4, lr=lr)
    assert selection.keep == selected
    close(selection.scores, scores, 1e-8)


def test_portions_add_up(make_problem):
    for keep in range(1, 6):
        for steps in range(1, 9):
            made = make_problem(seed=keep)
            selection = LCP(greedy_steps=steps, inner_passes=0).select(made.problem, keep)
            count = min(steps, keep)
            portions = [keep * (i + 1) // count - keep * i // count for i in range(count)]
            assert sum(portions) == keep
            assert selection.keep == greedy(made, keep, portions)[0]
            assert len(set(selection.keep)) == keep
            assert len(selection.scores) == 5


def linear_problem(x, y, objective=None) -> SelectionProblem:
    layer = nn.Linear(x.shape[1], y.shape[1], bias=False).double()
    consumer = Layer(layer, torch.arange(x.shape[1]), torch.arange(x.shape[1]))
    batch = SelectionBatch({'fc': x}, {'fc': y}, None)
    return SelectionProblem(
        'some.group', x.shape[1], {'fc': consumer}, {}, BatchCache(lambda: [batch])
    )


def test_ties_go_to_the_lower_index():
    x = torch.ones(2, 6, dtype=torch.float64)
    x[:, 4] = 2
    problem = linear_problem(x, torch.ones(2, 3, dtype=torch.float64))
    selection = LCP().select(problem, 3)
    assert selection.keep == [0, 1, 4]
    # dL/dW_oc = -1/(Q N) sum_n F x = -1/(3 * 2) * 2 * x = -x / 3, for three outputs
    close(selection.scores, [3 * (v / 3) ** 2 for v in (1, 1, 1, 1, 2, 1)])
    nothing = linear_problem(torch.zeros(2, 4), torch.zeros(2, 3))
    nothing.consumers['fc'].module.float()
    assert LCP(greedy_steps=2).select(nothing, 2).keep == [0, 1]


def test_shares(make_problem, quadratic):
    made = make_problem(auxiliary=quadratic(), reconstruction=0.3, alpha=2.0)
    log = LCP().select(made.problem, 2).log  # of the first batch
    assert sum(v for k, v in log.items() if k.startswith('share_')) == pytest.approx(1, abs=1e-12)
    at = made.zeroed(made.problem.weights(), [])
    shares = gradient_shares(made.problem, made.problem.gradients(at, apart=None))
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
    assert LCP(share_batches=0).select(made.problem, 2).log == {}
    power = {}
    # `cls` and `box` do not reach every consumer.
    for name, term in (('reconstruction', 're'), ('classification', 'cls'), ('regression', 'box')):
        by_path = made.grad(at, reconstruction=0.3, alpha=2.0, terms=(term,))
        power[name] = sum(
            float(by_path[path][:, i].square().sum())
            for path, (index, _) in made.maps.items()
            for i in index.tolist()
        )
    for name, value in power.items():
        assert shares[f'share_{name}'] == pytest.approx(value / sum(power.values()), rel=1e-9)


def test_shares_without_any_gradient():
    problem = linear_problem(
        torch.zeros(2, 4, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64)
    )
    assert LCP().select(problem, 2).log == {
        'share_reconstruction': 0.0,
        'share_classification': 0.0,
        'share_regression': 0.0,
    }


@pytest.mark.parametrize('value', [math.nan, math.inf])
@pytest.mark.parametrize('reference', ['selected', 'full'])
def test_not_finite(value, reference):
    x = torch.ones(2, 4, dtype=torch.float64)
    x[0, 1] = value
    problem = linear_problem(x, torch.ones(2, 3, dtype=torch.float64))
    with pytest.raises(CompressionError, match=r'some\.group: the sensitivities are not finite'):
        LCP(reference).select(problem, 2)


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (dict(reference='half'), r"reference='half': use 'selected' or 'full'"),
        (dict(reference=None), r'reference=None'),
        (dict(greedy_steps=0), r'greedy_steps=0 must be an integer >= 1'),
        (dict(greedy_steps=2.0), r'greedy_steps=2\.0'),
        (dict(greedy_steps='2'), r"greedy_steps='2'"),
        (dict(greedy_steps=True), r'greedy_steps=True'),
        (dict(reference='full', greedy_steps=2), r"greedy_steps > 1 needs reference='selected'"),
        (dict(inner_passes=-1), r'inner_passes=-1 must be an integer >= 0'),
        (dict(inner_passes=None), r'inner_passes=None'),
        (dict(inner_lr=0), r'inner_lr=0 must be'),
        (dict(inner_lr=math.nan), r'inner_lr=nan must be'),
        (dict(inner_lr=math.inf), r'inner_lr=inf must be'),
        (dict(inner_lr='1'), r"inner_lr='1' must be"),
    ],
)
def test_values_out_of_range(keys, message):
    with pytest.raises(CompressionError, match=r'pruning\.criterion.*' + message):
        LCP(**keys)
