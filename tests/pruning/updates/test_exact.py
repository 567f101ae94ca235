"""The exact update against NumPy's least squares."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.pruning.updates import ExactUpdate
from mmdet_lcp.registry import UPDATES
from mmdet_lcp.selection.positions import Positions

TINY = 1e-9  # a ridge that does not show


def make(layer, shape, batches=2, index=None, root=None, channels=None, per_image=10_000):
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
        positions=Positions(per_image=per_image),
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
    log = ExactUpdate(ridge=TINY).apply(problem, [0, 2])
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


@pytest.mark.parametrize('shape', [(4, 5, 7, 6), (4, 35, 6)])
def test_linear_on_maps_and_tokens(shape):
    """As in ConvNeXt and in the feed-forward of DETR: the last axis is that of the channels."""
    layer = nn.Linear(**ARGUMENTS[nn.Linear])
    problem, maps = make(layer, shape)
    log = ExactUpdate(ridge=TINY).apply(problem, [0, 2, 3])
    x, y = (torch.cat(part).flatten(0, -2).numpy() for part in zip(*maps, strict=True))
    rows = np.hstack([x[:, [0, 2, 3]], np.ones((len(x), 1))])
    solution, *_ = np.linalg.lstsq(rows, y, rcond=None)
    weight = layer.weight.detach().numpy()
    np.testing.assert_allclose(weight[:, [0, 2, 3]].T, solution[:3], atol=1e-6)
    np.testing.assert_allclose(layer.bias.detach().numpy(), solution[3], atol=1e-6)
    assert np.abs(weight[:, [1, 4, 5]]).max() == 0
    assert log['error_after'] == pytest.approx(np.mean((rows @ solution - y) ** 2), rel=1e-5)


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
    problem = SelectionProblem('group', 1, {'layer': consumer}, {}, BatchCache(lambda: [batch]))
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
    ExactUpdate().apply(problem, [0, 1, 2, 3])
    torch.testing.assert_close(layer.weight.detach()[:, 1], before[:, 1])


def test_fewer_positions_are_the_same_on_every_call():
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        layer = conv()
        problem, _ = make(layer, (2, 4, 9, 11), per_image=7)
        ExactUpdate().apply(problem, [0, 1])
        results.append(layer.weight.detach().clone())
    assert torch.equal(*results)


@pytest.mark.parametrize('keys', [dict(ridge=0), dict(ridge='a')])
def test_wrong_values_name_their_key(keys):
    with pytest.raises(CompressionError, match=f'pruning.update.{next(iter(keys))}'):
        UPDATES.build(dict(type='ExactUpdate', **keys))


def test_the_batch_norm_behind_takes_up_the_shift():
    """Without a bias: what conv and norm compute together is the fit with an intercept."""
    layer = conv(bias=False)
    problem, maps = make(layer, (3, 4, 9, 11))
    for _, y in maps:
        y += torch.tensor([2.0, -1.0, 0.5]).view(1, 3, 1, 1)
    norm = nn.BatchNorm2d(3).double().eval()
    norm.running_mean.copy_(torch.tensor([0.3, 0.1, -0.2]))
    mean = norm.running_mean.clone()
    problem.consumers['layer'].norm = norm
    ExactUpdate(ridge=TINY).apply(problem, [0, 2])
    rows, targets = rows_of(maps, [0, 2], True)
    solution, *_ = np.linalg.lstsq(rows, targets, rcond=None)
    expected = (rows @ solution - mean.numpy()) / np.sqrt(1 + norm.eps)
    x = torch.cat([x for x, _ in maps])
    got = norm(layer(x)).flatten(2).permute(0, 2, 1).flatten(0, 1).detach().numpy()
    np.testing.assert_allclose(got, expected, atol=1e-6)
