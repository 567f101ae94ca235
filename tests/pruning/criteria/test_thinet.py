"""ThiNet against its rule evaluated literally, on contributions computed one channel at a time."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup, Member
from mmdet_lcp.pruning.criteria import ThiNet
from mmdet_lcp.pruning.criteria.thinet import dropping_order
from mmdet_lcp.pruning.criteria.thinet_samples import _rows, sample_moments
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.parts import Part
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.registry import CRITERIA

ALL = 10**6  # more samples than there are: each is taken once


def without_bias(layer, x):
    """A layer's outputs, (N, filters, ...), by PyTorch's own layers."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, layer.weight)
    return F.conv2d(
        x, layer.weight, None, layer.stride, layer.padding, layer.dilation
    )  # fmt: skip


@torch.no_grad()
def contributions(made) -> tuple[np.ndarray, np.ndarray]:
    """Every x_hat, (activations, channels), and every y, in one order for both.

    The contribution of a channel is the output for an input without all the others.
    """
    rows, ys = [], []
    for inputs, targets in zip(made.inputs, made.targets, strict=True):
        for name, layer in made.layers.items():
            index, root = (t.tolist() for t in made.maps[name])
            x, columns = inputs[name], []
            for channel in range(made.channels):
                alone = torch.zeros_like(x)
                for i, k in zip(index, root, strict=True):
                    if k == channel:
                        alone[:, i] = x[:, i]
                columns.append(without_bias(layer, alone).flatten())
            strangers = x.clone()
            strangers[:, index] = 0
            bias = layer.bias.view(1, -1, *[1] * (targets[name].dim() - 2))
            rows.append(torch.stack(columns, 1))
            ys.append((targets[name] - bias - without_bias(layer, strangers)).flatten())
    return torch.cat(rows).numpy(), torch.cat(ys).numpy()


def greedy(x: np.ndarray) -> list[int]:
    """The paper's algorithm 1, word for word."""
    dropped = []
    while len(dropped) < x.shape[1]:
        best, best_value = None, np.inf
        for channel in range(x.shape[1]):
            if channel not in dropped:
                value = (x[:, [*dropped, channel]].sum(1) ** 2).sum()
                if value < best_value:
                    best, best_value = channel, value
        dropped.append(best)
    return dropped


@pytest.mark.parametrize('seed', range(6))
def test_drops_what_the_rule_drops(make_problem, seed):
    made = make_problem(seed=seed)
    x, _ = contributions(made)
    order = greedy(x)
    for keep in range(1, 6):
        selection = ThiNet(ALL).select(made.problem, keep)
        assert selection.keep == sorted(order[5 - keep :])
        assert selection.scores == [order.index(channel) for channel in range(5)]
        dropped = (x[:, order[: 5 - keep]].sum(1) ** 2).sum() / (x.sum(1) ** 2).sum()
        assert selection.log['dropped'] == pytest.approx(dropped, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize('seed', range(20))
def test_the_order_on_dependent_columns(seed):
    """Correlated and cancelling columns, of which the joint sums differ much from the single."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(60, 4)) @ generator.normal(size=(4, 12))
    x += 0.05 * generator.normal(size=x.shape)
    order = greedy(x)
    assert dropping_order(torch.from_numpy(x.T @ x)) == order
    assert order != np.argsort((x**2).sum(0)).tolist()  # it is not a ranking of single channels


def test_joint_contributions_by_hand():
    """c1 alone is smaller than c2, but c2 cancels what has been dropped."""
    x = torch.tensor([[1.0, 2.0, -2.1, 9.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    # first: 1, 4, 4.41, 81; then: 3^2, 1.1^2, 10^2; then: 0.9^2 against 7.9^2
    assert dropping_order(x.T @ x) == [0, 2, 1, 3]
    assert dropping_order(torch.zeros(3, 3, dtype=torch.float64)) == [0, 1, 2]


@pytest.mark.parametrize('seed', range(3))
def test_moments_of_all_samples(make_problem, seed):
    made = make_problem(seed=seed)
    x, y = contributions(made)
    found = sample_moments(made.problem, ALL)
    assert found.count == len(x)
    np.testing.assert_allclose(found.xx.numpy(), x.T @ x, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.xy.numpy(), x.T @ y, rtol=1e-9, atol=1e-9)
    assert found.yy == pytest.approx(float(y @ y), rel=1e-12)


@pytest.mark.parametrize(
    ('kernel', 'stride', 'padding', 'dilation'),
    [(3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 6, 6), (1, 1, 0, 1), ((2, 3), (1, 2), (0, 1), 1)],
)
def test_geometries_of_convolutions(kernel, stride, padding, dilation):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 3, kernel, stride, padding, dilation, bias=False).double()
    x = torch.randn(2, 4, 8, 9, dtype=torch.float64)
    problem = one_consumer(layer, x)
    with torch.no_grad():
        alone = [without_bias(layer, x * (torch.arange(4) == c).view(4, 1, 1)) for c in range(4)]
    rows = torch.stack([part.flatten() for part in alone], 1)
    torch.testing.assert_close(sample_moments(problem, ALL).xx, rows.T @ rows)


def one_consumer(layer, x, root=None, boxes=None, seed=0):
    """A group read by one layer, in float64, that reproduces its targets."""
    root = torch.arange(x.shape[1] if x.dim() != 3 else x.shape[2]) if root is None else root
    with torch.no_grad():
        batch = SelectionBatch({'layer': x}, {'layer': layer(x)}, None, boxes)
    return SelectionProblem(
        'group',
        int(root.max()) + 1,
        {'layer': Layer(layer, torch.arange(len(root)), root)},
        {},
        BatchCache(lambda: [batch]),
        seed=seed,
    )


def sampled(made, samples_per_image, seed=0, image=0):
    """The rows of one consumer on one batch, as they are drawn."""
    (path, consumer), *_ = made.problem.consumers.items()
    batch = next(iter(made.problem.batches))
    numbers = list(range(image, image + batch.num_images))
    key = (seed, 0)
    with torch.no_grad():
        return _rows(made.problem, Part(path, consumer), batch, 0, numbers, key, samples_per_image)


def test_samples_are_different_rows_of_all(make_problem):
    made = make_problem(sizes=(3,))
    per_image = 4 * 6 * 5  # filters, height, width
    rows = sampled(made, 20).numpy()
    assert rows.shape == (3 * 20, 6)
    x, y = contributions(made)
    everything = np.column_stack([x, y])[: 3 * per_image]  # of the first consumer
    distance = np.abs(rows[:, None] - everything[None]).max(2)
    assert (distance.min(1) < 1e-12).all()
    which = distance.argmin(1)
    assert len(set(which)) == 60
    # so many of each image, of all filters and of places all over
    assert (which // per_image).tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert set(which % per_image // 30) == {0, 1, 2, 3}
    assert len(set(which % 30)) > 20


def test_samples_hang_on_the_seed_and_the_image_alone(make_problem):
    made = make_problem(sizes=(3,))
    first = sampled(made, 10)
    torch.manual_seed(5)
    np.random.seed(5)
    assert torch.equal(sampled(made, 10), first)
    assert not torch.equal(sampled(made, 10, seed=1), first)
    other = sampled(made, 10, image=3)
    assert not torch.equal(other, first)
    # cut into other batches, the images keep their samples
    cut = make_problem(sizes=(3,))
    whole = next(iter(cut.problem.batches))
    parts = [
        SelectionBatch(
            {k: v[0][a:b] for k, v in whole.inputs.items()},
            {k: v[0][a:b] for k, v in whole.targets.items()},
            None,
        )
        for a, b in ((0, 1), (1, 3))
    ]
    cut.problem.batches = BatchCache(lambda: parts)
    one, two = sample_moments(made.problem, 10), sample_moments(cut.problem, 10)
    torch.testing.assert_close(one.xx, two.xx)
    assert one.count == 3 * (10 + 10 + 6)  # fc has six activations an image


def test_few_samples_lead_to_the_choice_of_all():
    """Contributions of clearly different sizes: any fair sample tells them apart."""
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 5, 3, padding=1).double()
    size = torch.tensor([3.0, 0.1, 1.0, 10.0, 0.01, 30.0], dtype=torch.float64)
    x = torch.randn(4, 6, 12, 12, dtype=torch.float64) * size.view(-1, 1, 1)
    for seed in range(5):
        selection = ThiNet(30).select(one_consumer(layer, x, seed=seed), 2)
        assert selection.scores == [3, 1, 2, 4, 0, 5]
        assert selection.keep == [3, 5]


def test_several_rows_an_image():
    """Tokens of an image, and items behind RoIs: samples are counted by image."""
    torch.manual_seed(0)
    layer = nn.Linear(6, 4).double()
    root = torch.arange(6) // 2
    tokens = torch.randn(2, 5, 6, dtype=torch.float64)
    rois = tokens.flatten(0, 1)
    found = {}
    for name, x in (('tokens', tokens), ('rois', rois)):
        problem = one_consumer(layer, x, root, boxes=[torch.zeros(0, 4)] * 2)
        found[name] = sample_moments(problem, ALL)
        assert found[name].count == 2 * 5 * 4
        assert sample_moments(problem, 10).count == 20
        assert sample_moments(problem, 3).count == {'tokens': 6, 'rois': 10}[name]
    parts = rois[:, None] * layer.weight.detach()[None]  # row, filter, input
    rows = parts.unflatten(2, (3, 2)).sum(3).flatten(0, 1)
    for moments in found.values():
        torch.testing.assert_close(moments.xx, rows.T @ rows)


def test_nothing_is_changed(make_problem):
    made = make_problem()
    before = made.problem.weights()
    state = torch.get_rng_state()
    with torch.enable_grad():
        ThiNet(5).select(made.problem, 2)
    assert all(torch.equal(layer.weight, before[p]) for p, layer in made.layers.items())
    assert all(p.grad is None for layer in made.layers.values() for p in layer.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_inputs_that_are_not_finite(make_problem):
    made = make_problem()
    made.inputs[1]['conv'][0, 2, 1, 1] = torch.nan
    with pytest.raises(CompressionError, match='conv, cat, fc are not finite'):
        ThiNet(ALL).select(made.problem, 2)


@pytest.mark.parametrize('value', [0, -1, 2.5, '10', None])
def test_values_out_of_range(value):
    with pytest.raises(CompressionError, match=r'pruning\.criterion\.samples_per_image='):
        CRITERIA.build(dict(type='ThiNet', samples_per_image=value))


def test_consumers_that_cannot_be_sampled_are_told_early():
    def group(path):
        member = Member(path, 'in_channels', (0, 1), (0, 1))
        return ChannelGroup('some.group', 2, (), (), (member,))

    detector = nn.ModuleDict(
        dict(
            conv=nn.Conv2d(2, 2, 3, padding=1),
            fc=nn.Linear(2, 2),
            same=nn.Conv2d(2, 2, 3, padding='same'),
            reflect=nn.Conv2d(2, 2, 3, padding=1, padding_mode='reflect'),
            cubes=nn.Conv3d(2, 2, 3),
        )
    )
    for path in ('conv', 'fc'):
        ThiNet().check(detector, group(path))
    for path in ('same', 'reflect', 'cubes'):
        with pytest.raises(CompressionError, match=rf'some\.group.* {path} is Conv'):
            ThiNet().check(detector, group(path))
