"""Backward elimination against solving every candidate's least squares anew."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import BackwardElimination
from mmdet_lcp.pruning.criteria.backward_elimination import channel_rows
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.pruning.updates import ExactUpdate
from mmdet_lcp.selection.positions import Positions

RIDGE = 1e-3


def make(seed, metrics=None):
    """Four channels, mixed so that they explain each other, read by a conv and a linear layer."""
    torch.manual_seed(seed)
    layers = {'conv': nn.Conv2d(4, 3, 2), 'fc': nn.Linear(8, 2)}
    mixing = torch.randn(4, 4, dtype=torch.float64) + torch.eye(4)
    maps = []
    for layer in layers.values():
        layer.double()
    for _ in range(2):
        x = torch.einsum('nchw,dc->ndhw', torch.randn(3, 4, 5, 5, dtype=torch.float64), mixing)
        flat = x[:, :, :2, 0].flatten(1)
        inputs = {'conv': x, 'fc': flat}
        targets = {name: layers[name](value).detach() * 1.3 for name, value in inputs.items()}
        maps.append((inputs, targets))
    consumers = {
        'conv': Layer(layers['conv'], torch.arange(4), torch.tensor([2, 0, 3, 1])),
        'fc': Layer(layers['fc'], torch.arange(8), torch.tensor([2, 2, 0, 0, 3, 3, 1, 1])),
    }
    problem = SelectionProblem(
        'group',
        4,
        consumers,
        {},
        BatchCache(lambda: [SelectionBatch(x, y, None) for x, y in maps]),
        positions=Positions(per_image=1000),
        metrics=metrics,
    )
    return problem, maps


def rows_of(problem, maps, path):
    xs, ys = [], []
    for inputs, targets in maps:
        if path == 'conv':
            xs.append(F.unfold(inputs[path], 2).transpose(1, 2).flatten(0, 1))
            ys.append(targets[path].flatten(2).transpose(1, 2).flatten(0, 1))
        else:
            xs.append(inputs[path])
            ys.append(targets[path])
    return torch.cat(xs).numpy(), torch.cat(ys).numpy()


def objective(problem, maps, path, channels, metric):
    """min over kernels of the damped, weighted squared error, with some channels alone."""
    x, y = rows_of(problem, maps, path)
    x, y = x - x.mean(0), y - y.mean(0)
    start = problem.consumers[path].module.weight.detach().flatten(1).numpy()
    taps = 4 if path == 'conv' else 2
    order = [2, 0, 3, 1]
    columns = [
        order.index(c) * taps + t if path == 'conv' else order.index(c) * 2 + t
        for c in channels
        for t in range(taps)
    ]
    damping = RIDGE * np.mean((x**2).mean(0))
    if metric == 'identity':
        weigh = np.eye(y.shape[1]) / (y**2).mean(0).sum()
    elif metric == 'variance':
        weigh = np.diag(1 / (y**2).mean(0))
    else:
        weigh = problem.metrics[path].numpy()
    # The pull towards the start, of the dropped channels too, is a part of the damped objective.
    h = x.T @ x / len(x) + damping * np.eye(x.shape[1])
    b = x.T @ y / len(x) + damping * start.T
    kept = np.linalg.solve(h[np.ix_(columns, columns)], b[columns])
    return -np.trace(weigh @ b[columns].T @ kept)


def metrics():
    random = np.random.default_rng(7)
    roots = {'conv': random.normal(size=(3, 5)), 'fc': random.normal(size=(2, 5))}
    return {path: torch.tensor(root @ root.T) for path, root in roots.items()}


@pytest.mark.parametrize('metric', ['identity', 'variance', 'gradient'])
@pytest.mark.parametrize('seed', range(4))
def test_drops_what_a_full_search_drops_step_by_step(metric, seed):
    problem, maps = make(seed, metrics())
    left, cost = [0, 1, 2, 3], 0.0

    def total(channels):
        return sum(objective(problem, maps, path, channels, metric) for path in ('conv', 'fc'))

    order = []
    for _ in range(3):
        candidates = {c: total([k for k in left if k != c]) for c in left}
        drop = min(candidates, key=candidates.get)
        cost += candidates[drop] - total(left)
        left.remove(drop)
        order.append(drop)
        chosen = BackwardElimination(ridge=RIDGE, metric=metric).select(problem, len(left))
        assert chosen.keep == left
        assert chosen.log['cost'] == pytest.approx(cost, rel=1e-6)
        assert sorted(range(4), key=lambda c: chosen.scores[c])[: len(order)] == order


def test_a_copied_channel_goes_first():
    """Two channels that carry the same: one of them costs nothing, whichever its kernel is."""
    problem, maps = make(0)
    for inputs, _ in maps:
        inputs['conv'][:, 1] = inputs['conv'][:, 3]
        inputs['fc'][:, 2:4] = inputs['fc'][:, 6:8]
    chosen = BackwardElimination(ridge=1e-6, metric='identity').select(problem, 3)
    assert set(range(4)) - set(chosen.keep) <= {0, 1}  # inputs 1 and 3 are channels 0 and 1


def test_rows_of_channels():
    layer = Layer(nn.Conv2d(5, 1, (1, 2)), torch.tensor([3, 1, 4]), torch.tensor([2, 0, 1]))
    assert channel_rows(layer, 3).tolist() == [[2, 3], [8, 9], [6, 7]]


def test_kernels_and_detector_stay():
    problem, _ = make(0)
    before = {path: layer.module.weight.clone() for path, layer in problem.consumers.items()}
    BackwardElimination(metric='identity').select(problem, 2)
    for path, weight in before.items():
        assert torch.equal(weight, problem.consumers[path].module.weight)


def test_wrong_values_name_their_key():
    for keys in (dict(ridge=0), dict(metric='fisher')):
        with pytest.raises(CompressionError, match=f'pruning.criterion.{next(iter(keys))}'):
            BackwardElimination(**keys)


def test_a_consumer_that_the_loss_does_not_reach_costs_nothing():
    """With a metric for the conv alone, the choice is that of the conv alone."""
    metric = torch.eye(3, dtype=torch.float64)
    for seed in range(4):
        problem, _ = make(seed, {'conv': metric})
        alone, _ = make(seed, {'conv': metric})
        alone.consumers = {'conv': alone.consumers['conv']}
        found, expected = (BackwardElimination(ridge=1e-6).select(p, 2) for p in (problem, alone))
        assert found.keep == expected.keep
        assert found.scores == pytest.approx(expected.scores)


@pytest.mark.parametrize('metrics', [None, {}])
def test_where_the_loss_reaches_none_variance_decides(metrics):
    found = BackwardElimination(ridge=1e-6).select(make(2, metrics)[0], 2)
    expected = BackwardElimination(ridge=1e-6, metric='variance').select(make(2)[0], 2)
    assert found.keep == expected.keep
    costs = BackwardElimination(ridge=1e-6).removal_costs(make(2, metrics)[0], 2)
    assert costs.tolist() == [0.0, 0.0]  # in the loss: nothing


def test_gradients_that_are_not_finite():
    problem, _ = make(2, metrics())
    problem.metrics['conv'][0, 0] = torch.inf
    with pytest.raises(
        CompressionError, match='loss at conv is not finite on the selection images'
    ):
        BackwardElimination(ridge=1e-6).select(problem, 2)


def test_every_size_is_nested():
    problem, _ = make(1)
    sets = [
        set(BackwardElimination(metric='identity').select(problem, keep).keep)
        for keep in (1, 2, 3)
    ]
    assert all(a < b for a, b in itertools.pairwise(sets))


def heads(seed, names='ab'):
    """Two layers that read the same six channels everywhere, as the heads of a detector do."""
    torch.manual_seed(seed)
    x = torch.einsum('nchw,dc->ndhw', torch.randn(8, 6, 5, 5), torch.randn(6, 6)).double()
    layers = {'a': nn.Conv2d(6, 3, 3, padding=1).double(), 'b': nn.Conv2d(6, 7, 3, padding=1)}
    layers['b'].double()
    noise = {'a': 0.01, 'b': 30.0}  # far apart: they choose other ridges
    targets = {
        name: [1.5 * layer(x).detach() + noise[name] * torch.randn(8, len(layer.weight), 5, 5)]
        for name, layer in layers.items()
    }
    shapes = {name: torch.randn(len(layer.weight), 4).double() for name, layer in layers.items()}
    return SelectionProblem(
        'group',
        6,
        {name: Layer(layers[name], torch.arange(6), torch.arange(6)) for name in names},
        {},
        BatchCache(lambda: [SelectionBatch({name: [x] for name in names}, targets, None)]),
        positions=Positions(objects=0.0),
        metrics={name: shape @ shape.T for name, shape in shapes.items()},
    )


@pytest.mark.parametrize('ridge', ['auto', 1e-2])
@pytest.mark.parametrize('metric', ['identity', 'variance', 'gradient'])
def test_consumers_of_the_same_rows_cost_what_they_cost_apart(metric, ridge):
    criterion = BackwardElimination(ridge=ridge, metric=metric)
    for seed in range(3):
        together, apart = heads(seed), heads(seed)
        assert len({id(pair[0].xx) for pair in together.moments().values()}) == 1
        for pair in apart.moments().values():
            for moments in pair:
                moments.xx = moments.xx.clone()  # nothing in common
        found, expected = criterion.select(together, 2), criterion.select(apart, 2)
        assert found.keep == expected.keep
        assert found.scores == pytest.approx(expected.scores)
        costs = [criterion.removal_costs(problem, 2) for problem in (together, apart)]
        torch.testing.assert_close(*costs)


def test_updates_of_the_same_rows_are_those_of_each_alone():
    together = heads(0)
    log = ExactUpdate().apply(together, [0, 2, 5])
    after = 0.0
    for name in 'ab':
        alone = heads(0, name)
        after += ExactUpdate().apply(alone, [0, 2, 5])['error_after']
        own, other = (problem.consumers[name].module for problem in (alone, together))
        torch.testing.assert_close(own.weight, other.weight)
        torch.testing.assert_close(own.bias, other.bias)
    assert log['error_after'] == pytest.approx(after)


def test_metrics_of_zeros_alone_drop_the_first():
    """The loss reaches both, but no gradient is left: all cost nothing."""
    problem = heads(0)
    problem.metrics = {name: torch.zeros_like(m) for name, m in problem.metrics.items()}
    found = BackwardElimination().select(problem, 2)
    assert found.keep == [4, 5]
    assert found.log['cost'] == 0


@pytest.mark.parametrize('shape', [(4, 5, 6, 5), (4, 30, 5)])
def test_a_linear_layer_on_maps_or_tokens(shape):
    """Step by step the channel goes without which NumPy's least squares err least."""
    torch.manual_seed(0)
    fc = nn.Linear(5, 3).double()
    x = torch.randn(shape).double() @ (torch.randn(5, 5).double() + torch.eye(5).double())
    batch = SelectionBatch({'fc': x}, {'fc': fc(x).detach()}, None)
    channels = torch.arange(5)
    problem = SelectionProblem(
        'group', 5, {'fc': Layer(fc, channels, channels)}, {}, BatchCache(lambda: [batch])
    )
    rows, y = x.flatten(0, -2).numpy(), fc(x).detach().flatten(0, -2).numpy()

    def error(kept):
        design = np.hstack([rows[:, kept], np.ones((len(rows), 1))])
        solution, *_ = np.linalg.lstsq(design, y, rcond=None)
        return np.mean((design @ solution - y) ** 2 / y.var(0)) * 3

    left, costs = list(range(5)), []
    while len(left) > 2:
        found = {c: error([k for k in left if k != c]) for c in left}
        left.remove(min(found, key=found.get))
        costs.append(min(found.values()))
    criterion = BackwardElimination(ridge=1e-9, metric='variance')
    assert criterion.select(problem, 2).keep == left
    np.testing.assert_allclose(
        criterion.removal_costs(problem, 2).cumsum(0).numpy(), costs, rtol=1e-4
    )
