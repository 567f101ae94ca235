"""The channel-wise update against NumPy's least squares, and on two ranks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ranks import be_the_other_rank, on_two_ranks
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import ThiNet
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.pruning.updates import ChannelScaleUpdate
from mmdet_lcp.pruning.updates.channel_scale import solve_near_one
from mmdet_lcp.registry import UPDATES

ALL = 10**6  # more samples than there are: each is taken once
CHANNELS = 4
# `conv` reads them as its inputs 1..4 in another order, beside a stranger; `fc` two inputs each.
MAPS = {
    'conv': (torch.tensor([1, 2, 3, 4]), torch.tensor([2, 0, 3, 1])),
    'fc': (torch.tensor([0, 1, 2, 3, 4, 5, 6, 7]), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])),
}


def make(images=range(5), batch_size=3, duplicate=False, dead=False, seed=0):
    """A group read by a convolution and a linear layer, with targets that they do not hit."""
    torch.manual_seed(seed)
    layers = {'conv': nn.Conv2d(5, 3, 3, stride=2, padding=1).double(), 'fc': nn.Linear(8, 6)}
    layers['fc'].double()
    x = torch.randn(8, CHANNELS, 5, 4, dtype=torch.float64)
    if dead:
        x[:, 2] = 0
    stranger = torch.randn(8, 1, 5, 4, dtype=torch.float64)
    inputs = {
        'conv': torch.cat([stranger, x[:, MAPS['conv'][1]]], 1),
        'fc': x[:, :, 1, 1:3].flatten(1),
    }
    if duplicate:  # channel 1 contributes twice what channel 0 does, everywhere
        with torch.no_grad():
            for name, (index, root) in MAPS.items():
                zero, one = index[root == 0], index[root == 1]
                inputs[name][:, one] = inputs[name][:, zero]
                layers[name].weight[:, one] = 2 * layers[name].weight[:, zero]
    targets = {
        name: layer(inputs[name]).detach() * 1.3
        + 0.3 * torch.randn(layer(inputs[name]).shape, dtype=torch.float64)
        for name, layer in layers.items()
    }
    images = list(images)
    batches = [
        SelectionBatch(
            {name: value[images[i : i + batch_size]] for name, value in inputs.items()},
            {name: value[images[i : i + batch_size]] for name, value in targets.items()},
            None,
        )
        for i in range(0, len(images), batch_size)
    ]
    problem = SelectionProblem(
        'group',
        CHANNELS,
        {name: Layer(layer, *MAPS[name]) for name, layer in layers.items()},
        {},
        BatchCache(lambda: batches),
        seed=3,
    )
    return problem, batches


def run(layer, x):
    """The output without the bias."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, layer.weight)
    return F.conv2d(x, layer.weight, None, 2, 1)


@torch.no_grad()
def system(problem, batches, keep):
    """X of the kept channels and y, by running the layers on one channel at a time."""
    rows, ys = [], []
    for batch in batches:
        for name, consumer in problem.consumers.items():
            x = batch.inputs[name][0]
            columns = []
            for channel in keep:
                alone = torch.zeros_like(x)
                own = consumer.index[consumer.root == channel]
                alone[:, own] = x[:, own]
                columns.append(run(consumer.module, alone).flatten())
            rows.append(torch.stack(columns, 1))
            strangers = x.clone()
            strangers[:, consumer.index] = 0
            bias = consumer.module.bias.view(1, -1, *[1] * (x.dim() - 2))
            ys.append((batch.targets[name][0] - bias - run(consumer.module, strangers)).flatten())
    return torch.cat(rows).numpy(), torch.cat(ys).numpy()


def factors_of(problem, before, keep):
    """What the kernels of each kept channel were multiplied by, checked to be one number."""
    found = []
    for channel in keep:
        ratios = []
        for name, consumer in problem.consumers.items():
            own = consumer.index[consumer.root == channel]
            after = consumer.module.weight.detach()
            ratios.append((after[:, own] / before[name][:, own]).flatten())
        ratios = torch.cat(ratios)
        assert float(ratios.max() - ratios.min()) < 1e-9
        found.append(float(ratios.mean()))
    return np.array(found)


@pytest.mark.parametrize('keep', [[1], [0, 2], [1, 2, 3], [0, 1, 2, 3]])
@pytest.mark.parametrize('seed', range(3))
def test_the_factors_are_the_least_squares_solution(keep, seed):
    problem, batches = make(seed=seed)
    before = problem.weights()
    x, y = system(problem, batches, keep)
    expected, *_ = np.linalg.lstsq(x, y, rcond=None)
    log = ChannelScaleUpdate(ALL).apply(problem, keep)
    np.testing.assert_allclose(factors_of(problem, before, keep), expected, rtol=1e-8)
    assert log['error_before'] == pytest.approx(np.mean((x.sum(1) - y) ** 2), rel=1e-9)
    assert log['error_after'] == pytest.approx(np.mean((x @ expected - y) ** 2), rel=1e-9)
    assert log['error_after'] < log['error_before']
    assert log['scale_min'] == pytest.approx(expected.min())
    assert log['scale_max'] == pytest.approx(expected.max())


def test_the_rescaled_layers():
    """Their outputs; and that strangers, biases and the shape of everything stay."""
    problem, batches = make()
    before = problem.weights()
    biases = {name: c.module.bias.detach().clone() for name, c in problem.consumers.items()}
    x, y = system(problem, batches, [0, 3])
    factors, *_ = np.linalg.lstsq(x, y, rcond=None)
    outputs = x @ factors
    ChannelScaleUpdate(ALL).apply(problem, [0, 3])
    found = []
    for batch in batches:
        for name, consumer in problem.consumers.items():
            strangers = batch.inputs[name][0].clone()
            strangers[:, consumer.index] = 0
            with torch.no_grad():
                found.append(
                    (consumer.module(batch.inputs[name][0]) - consumer.module(strangers)).flatten()
                )
    np.testing.assert_allclose(torch.cat(found).numpy(), outputs, atol=1e-12)
    for name, consumer in problem.consumers.items():
        index, root = MAPS[name]
        assert torch.equal(consumer.module.bias, biases[name])
        gone = consumer.module.weight[:, index[(root == 1) | (root == 2)]]
        assert not gone.any()
    weight = problem.consumers['conv'].module.weight
    assert torch.equal(weight[:, 0], before['conv'][:, 0])


def closest_to_one(x, y):
    """NumPy's minimum-norm solution for the change from 1."""
    return 1 + np.linalg.lstsq(x, y - x.sum(1), rcond=1e-10)[0]


@pytest.mark.parametrize('keep', [[0, 1], [0, 1, 3], [0, 1, 2, 3]])
def test_channels_that_always_fire_together(keep):
    problem, batches = make(duplicate=True)
    before = problem.weights()
    x, y = system(problem, batches, keep)
    assert np.linalg.matrix_rank(x) == len(keep) - 1
    ChannelScaleUpdate(ALL).apply(problem, keep)
    factors = factors_of(problem, before, keep)
    np.testing.assert_allclose(factors, closest_to_one(x, y), rtol=1e-8)
    # The least error all the same.
    least = np.linalg.lstsq(x, y, rcond=None)[0]
    np.testing.assert_allclose(x @ factors, x @ least, atol=1e-9)


def test_a_dead_channel_keeps_its_kernel():
    problem, batches = make(dead=True)
    before = problem.weights()
    x, y = system(problem, batches, [0, 2, 3])
    assert not x[:, 1].any()
    ChannelScaleUpdate(ALL).apply(problem, [0, 2, 3])
    factors = factors_of(problem, before, [0, 2, 3])
    np.testing.assert_allclose(factors, closest_to_one(x, y), rtol=1e-8)
    assert factors[1] == 1
    only_dead, _ = make(dead=True)
    ChannelScaleUpdate(ALL).apply(only_dead, [2])
    np.testing.assert_array_equal(factors_of(only_dead, before, [2]), [1])


def test_directions_that_only_rounding_shows():
    """A difference of 1e-6 between two channels must not blow their factors up."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 3))
    x[:, 1] = x[:, 0] + 1e-6 * generator.normal(size=200)
    y = generator.normal(size=200)
    plain = np.linalg.lstsq(x, y, rcond=None)[0]
    assert np.abs(plain).max() > 1e3
    found = solve_near_one(torch.from_numpy(x.T @ x), torch.from_numpy(x.T @ y)).numpy()
    assert np.abs(found).max() < 2
    error = np.linalg.norm(x @ found - y) / np.linalg.norm(x @ plain - y)
    assert error < 1.02


def test_the_dropped_channels_may_be_zero_already():
    """The runner sets them to zero first, and may compute the inputs anew."""
    keep = [1, 3]
    results = []
    for zeroed in (False, True):
        problem, batches = make()
        for batch in batches if zeroed else []:
            for name, (index, root) in MAPS.items():
                batch.inputs[name][0][:, index[(root == 0) | (root == 2)]] = 0
        ChannelScaleUpdate(7).apply(problem, keep)
        results.append(problem.weights())
    for name in MAPS:
        torch.testing.assert_close(results[0][name], results[1][name])


def test_few_samples():
    """Fewer rows than all, the same on each call; another solution, but nearly as good."""
    kernels = []
    for samples in (12, 12, ALL):
        problem, batches = make()
        x, y = system(problem, batches, [0, 1, 2])
        before = problem.weights()
        ChannelScaleUpdate(samples).apply(problem, [0, 1, 2])
        factors = factors_of(problem, before, [0, 1, 2])
        kernels.append((factors, np.mean((x @ factors - y) ** 2)))
    assert (kernels[0][0] == kernels[1][0]).all()
    assert np.abs(kernels[0][0] - kernels[2][0]).max() > 1e-4
    assert kernels[2][1] < kernels[0][1] < np.mean((x.sum(1) - y) ** 2)


@pytest.mark.parametrize('value', [0, -3, 1.5, 'all', None])
def test_values_out_of_range(value):
    with pytest.raises(CompressionError, match=r'pruning\.update\.samples_per_image='):
        UPDATES.build(dict(type='ChannelScaleUpdate', samples_per_image=value))


# ------------------------------------------------------------------ two ranks


def facts(images) -> dict:
    problem, _ = make(images, batch_size=2)
    selection = ThiNet(9).select(problem, 2)
    log = ChannelScaleUpdate(9).apply(problem, selection.keep)
    return dict(
        keep=selection.keep, scores=selection.scores, log=log, weights=problem.weights()
    )  # fmt: skip


def facts_of_rank(rank: int) -> dict:
    return facts(range(rank, 8, 2))


def test_two_ranks_agree_with_one(tmp_path):
    """Every other image each, as a selection set deals them; this file is the other's script."""
    first, second = on_two_ranks(facts_of_rank, __file__, tmp_path)
    one = facts(range(8))
    assert first['keep'] == second['keep'] == one['keep']
    assert first['scores'] == second['scores'] == one['scores']
    assert first['log'] == second['log'] == pytest.approx(one['log'], rel=1e-9)
    alone = facts(range(0, 8, 2))
    for name, weight in one['weights'].items():
        assert torch.equal(first['weights'][name], second['weights'][name])
        torch.testing.assert_close(first['weights'][name], weight)
        assert not torch.allclose(alone['weights'][name], weight)


if __name__ == '__main__':
    be_the_other_rank(facts_of_rank)
