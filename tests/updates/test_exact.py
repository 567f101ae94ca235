"""The exact update against NumPy's least squares."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdet_lcp.criteria import Objective, SelectionBatch, SelectionProblem
from mmdet_lcp.criteria.problem import BatchCache, Layer
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import UPDATES
from mmdet_lcp.updates import ExactUpdate
from mmdet_lcp.updates.exact import _patches

TINY = 1e-9  # a ridge that does not show


def make(layer, shape, batches=2, index=None, root=None, channels=None):
    """A problem with random inputs whose targets another layer of the same kind made."""
    torch.manual_seed(0)
    layer = layer.double()
    other = type(layer)(**ARGUMENTS[type(layer)], bias=layer.bias is not None).double()
    maps = []
    for _ in range(batches):
        x = torch.randn(shape, dtype=torch.float64)
        maps.append((x, other(x).detach()))
    width = layer.weight.shape[1]
    index = torch.arange(width) if index is None else torch.tensor(index)
    root = index if root is None else torch.tensor(root)
    problem = SelectionProblem(
        'group',
        channels or width,
        {'layer': Layer(layer, index, root)},
        {},
        BatchCache(lambda: [SelectionBatch({'layer': x}, {'layer': y}, None) for x, y in maps]),
        Objective(),
    )
    return problem, maps


ARGUMENTS = {
    nn.Conv2d: dict(in_channels=4, out_channels=3, kernel_size=3, padding=1, stride=2),
    nn.Linear: dict(in_features=6, out_features=3),
}


def conv(bias=True):
    return nn.Conv2d(**ARGUMENTS[nn.Conv2d], bias=bias)


def rows_of(maps, channels, bias):
    """The rows under the kernel by PyTorch's own unfold, and the targets."""
    rows, targets = [], []
    for x, y in maps:
        patches = F.unfold(x, 3, padding=1, stride=2)  # N, C * 9, L
        keep = [c * 9 + k for c in channels for k in range(9)]
        rows.append(patches[:, keep].permute(0, 2, 1).flatten(0, 1))
        targets.append(y.flatten(2).permute(0, 2, 1).flatten(0, 1))
    rows, targets = torch.cat(rows).numpy(), torch.cat(targets).numpy()
    if bias:
        rows = np.hstack([rows, np.ones((len(rows), 1))])
    return rows, targets


@pytest.mark.parametrize('bias', [True, False])
def test_convolution_reaches_least_squares(bias):
    layer = conv(bias)
    problem, maps = make(layer, (3, 4, 9, 11))
    log = ExactUpdate(ridge=TINY, positions=10_000).apply(problem, [0, 2])
    rows, targets = rows_of(maps, [0, 2], bias)
    solution, *_ = np.linalg.lstsq(rows, targets, rcond=None)
    weight = layer.weight.detach()
    np.testing.assert_allclose(weight[:, [0, 2]].flatten(1).numpy().T, solution[:18], atol=1e-6)
    if bias:
        np.testing.assert_allclose(layer.bias.detach().numpy(), solution[18], atol=1e-6)
    assert weight[:, [1, 3]].abs().max() == 0
    error = np.mean((rows @ solution - targets) ** 2)
    assert log['error_after'] == pytest.approx(error, rel=1e-5)
    assert log['error_after'] < log['error_before']


def test_linear_after_a_flatten_with_two_inputs_per_channel():
    layer = nn.Linear(**ARGUMENTS[nn.Linear])
    index, root = [0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2]
    problem, maps = make(layer, (40, 6), index=index, root=root, channels=3)
    ExactUpdate(ridge=TINY).apply(problem, [0, 2])
    x, y = (torch.cat(part).numpy() for part in zip(*maps, strict=True))
    rows = np.hstack([x[:, [0, 1, 4, 5]], np.ones((len(x), 1))])
    solution, *_ = np.linalg.lstsq(rows, y, rcond=None)
    weight = layer.weight.detach().numpy()
    np.testing.assert_allclose(weight[:, [0, 1, 4, 5]].T, solution[:4], atol=1e-6)
    assert np.abs(weight[:, [2, 3]]).max() == 0


def test_ridge_by_hand():
    """One input channel, one tap: the solution is a weighted mean of data and present kernel."""
    torch.manual_seed(1)
    layer = nn.Linear(1, 1, bias=False).double()
    x = torch.randn(50, 1, dtype=torch.float64)
    y = 3 * x
    batch = SelectionBatch({'layer': x}, {'layer': y}, None)
    consumer = Layer(layer, torch.tensor([0]), torch.tensor([0]))
    problem = SelectionProblem(
        'group', 1, {'layer': consumer}, {}, BatchCache(lambda: [batch]), Objective()
    )
    before = float(layer.weight.detach())
    ExactUpdate(ridge=0.5).apply(problem, [0])
    # ridge is relative to the mean second moment, here the only one: it cancels.
    assert float(layer.weight.detach()) == pytest.approx((3 + 0.5 * before) / 1.5, rel=1e-10)


def test_directions_without_data_keep_their_kernels():
    layer = conv()
    problem, maps = make(layer, (2, 4, 9, 11))
    for x, _ in maps:
        x[:, 1] = 0
    before = layer.weight.detach().clone()
    ExactUpdate(positions=10_000).apply(problem, [0, 1, 2, 3])
    torch.testing.assert_close(layer.weight.detach()[:, 1], before[:, 1])


def test_fewer_positions_are_the_same_on_every_call():
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        layer = conv()
        problem, _ = make(layer, (2, 4, 9, 11))
        ExactUpdate(positions=7).apply(problem, [0, 1])
        results.append(layer.weight.detach().clone())
    assert torch.equal(*results)


@pytest.mark.parametrize(
    ('stride', 'padding', 'dilation', 'kernel'),
    [(1, 1, 1, 3), (2, 1, 1, 3), (1, 6, 6, 3), (1, 0, 1, 1), (2, 3, 1, 7), ((1, 2), 0, 1, (2, 3))],
)
def test_patches_give_the_convolution(stride, padding, dilation, kernel):
    layer = nn.Conv2d(5, 4, kernel, stride, padding, dilation)
    x = torch.randn(2, 5, 13, 15)
    expected = layer(x).flatten(2)
    chosen = torch.randperm(expected.shape[2])[:12]
    rows = _patches(layer, x, chosen)
    got = rows @ layer.weight.flatten(1).T + layer.bias
    torch.testing.assert_close(got, expected[:, :, chosen].permute(0, 2, 1).flatten(0, 1))


@pytest.mark.parametrize('keys', [dict(ridge=0), dict(ridge='a'), dict(positions=0)])
def test_wrong_values_name_their_key(keys):
    with pytest.raises(CompressionError, match=f'pruning.update.{next(iter(keys))}'):
        UPDATES.build(dict(type='ExactUpdate', **keys))


def test_unknown_padding_is_told():
    layer = nn.Conv2d(4, 3, 3, padding=1, padding_mode='reflect')
    with pytest.raises(CompressionError, match='zero padding'):
        _patches(layer, torch.randn(1, 4, 8, 8), torch.tensor([0]))
