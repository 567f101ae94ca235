"""ThiNet's samples: how many of what is there, which ones, and on how many ranks.

Their values for whole problems, test_thinet.py checks.
"""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import thinet_samples
from mmdet_lcp.pruning.criteria.thinet_samples import sample_moments
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch

CHANNELS, FILTERS, HEIGHT, WIDTH = 3, 2, 2, 3
PLACES = HEIGHT * WIDTH


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def problem_of(layer, inputs, targets, cuts=None, seed=0, images=None):
    """A group of the layer's inputs from the second on, the last one first.

    Args:
        inputs: of each run; ``targets`` likewise.
        cuts: items of each batch; all in one by default.
        images: that a batch is of, where the items are not the images.
    """
    cuts = cuts or [len(inputs[0])]
    boxes = None if images is None else [torch.zeros(0, 4)] * images
    batches = [
        SelectionBatch({'layer': list(x)}, {'layer': list(y)}, None, boxes)
        for x, y in zip(
            zip(*(x.split(cuts) for x in inputs), strict=True),
            zip(*(y.split(cuts) for y in targets), strict=True),
            strict=True,
        )
    ]
    index = torch.arange(1, layer.weight.shape[1] * getattr(layer, 'groups', 1))
    consumers = {'layer': Layer(layer, index, index.flip(0) - 1)}
    cache = BatchCache(lambda: batches)
    return SelectionProblem('g', len(index), consumers, {}, cache, seed=seed)


@pytest.fixture
def conv():
    """Reads a stranger and three channels; what it wrote is not what it would write now."""
    torch.manual_seed(0)
    layer = nn.Conv2d(1 + CHANNELS, FILTERS, 3, padding=1).double()
    inputs, targets = randn(4, 4, HEIGHT, WIDTH), randn(4, FILTERS, HEIGHT, WIDTH, seed=1)
    return layer, [inputs], [targets]


def rows_by_loops(layer, inputs, targets) -> np.ndarray:
    """(contributions, y) of every activation, (images, filters * places, channels + 1)."""
    weight, bias = (value.detach().numpy() for value in (layer.weight, layer.bias))
    x = np.pad(inputs.numpy(), [(0, 0), (0, 0), (1, 1), (1, 1)])
    found = np.empty((len(x), FILTERS * PLACES, CHANNELS + 1))
    for n, f, i, j in np.ndindex(len(x), FILTERS, HEIGHT, WIDTH):
        parts = [(x[n, c, i : i + 3, j : j + 3] * weight[f, c]).sum() for c in range(4)]
        y = targets[n, f, i, j] - bias[f] - parts[0]
        found[n, f * PLACES + i * WIDTH + j] = [*parts[:0:-1], y]
    return found


def gram(moments) -> np.ndarray:
    """All products of the rows, y's last."""
    return np.block(
        [[moments.xx.numpy(), moments.xy.numpy()[:, None]], [moments.xy.numpy(), moments.yy]]
    )


def test_the_products_of_all_rows(conv):
    layer, (x,), (y,) = conv
    rows = rows_by_loops(layer, x, y).reshape(-1, CHANNELS + 1)
    for more in (FILTERS * PLACES, 1000):
        found = sample_moments(problem_of(*conv), more)
        assert found.count == len(rows)
        np.testing.assert_allclose(gram(found), rows.T @ rows, rtol=1e-10, atol=1e-10)
    assert found.xx.dtype == torch.float64 and not found.xx.requires_grad


@pytest.mark.parametrize('seed', range(5))
def test_one_activation_of_each_image(conv, seed):
    """Products say which: of all ways to take one of each of two images, one has these."""
    layer, (x,), (y,) = conv
    rows = rows_by_loops(layer, x[:2], y[:2])
    found = sample_moments(problem_of(layer, [x[:2]], [y[:2]], seed=seed), 1)
    assert found.count == 2
    errors = [
        np.abs(np.outer(a, a) + np.outer(b, b) - gram(found)).max()
        for a, b in itertools.product(*rows)
    ]
    assert sorted(errors)[0] < 1e-10 < 1e-4 < sorted(errors)[1]


def test_without_repeats(conv):
    """All but one: what is missing in the sum is the product of one row."""
    layer, (x,), (y,) = conv
    rows = rows_by_loops(layer, x[:1], y[:1])[0]
    missing = set()
    for seed in range(8):
        found = sample_moments(problem_of(layer, [x[:1]], [y[:1]], seed=seed), len(rows) - 1)
        left = rows.T @ rows - gram(found)
        errors = [np.abs(np.outer(row, row) - left).max() for row in rows]
        assert found.count == len(rows) - 1 and min(errors) < 1e-10
        missing.add(int(np.argmin(errors)))
    assert len(missing) > 2


def test_any_number_of_ranks_and_any_batches(conv, monkeypatch):
    """Images are dealt out in turn: rank 0 has the first and the third of four."""
    layer, (x,), (y,) = conv
    whole = sample_moments(problem_of(*conv), 5)
    for cuts in ([1, 3], [2, 1, 1]):
        cut = sample_moments(problem_of(layer, [x], [y], cuts), 5)
        np.testing.assert_allclose(gram(cut), gram(whole), rtol=1e-10, atol=1e-12)
    other = sample_moments(problem_of(*conv, seed=1), 5)
    assert np.abs(gram(other) - gram(whole)).max() > 1e-3
    sent = []
    monkeypatch.setattr(thinet_samples.dist, 'get_world_size', lambda: 2)
    monkeypatch.setattr(thinet_samples.dist, 'get_rank', lambda: 1)
    monkeypatch.setattr(thinet_samples.dist, 'all_reduce', lambda t: sent.append(t.clone()))
    sample_moments(problem_of(layer, [x[1::2]], [y[1::2]]), 5)
    theirs = iter(sent)
    monkeypatch.setattr(thinet_samples.dist, 'get_rank', lambda: 0)
    monkeypatch.setattr(thinet_samples.dist, 'all_reduce', lambda t: t.add_(next(theirs)))
    both = sample_moments(problem_of(layer, [x[::2]], [y[::2]], [1, 1]), 5)
    assert both.count == whole.count == 4 * 5
    np.testing.assert_allclose(gram(both), gram(whole), rtol=1e-10, atol=1e-12)
    assert next(theirs, None) is None


def test_runs_share_an_images_samples():
    """A run's share is that of its activations, rounded up: of 7 for 18 and 6 of 24, 6 and 2."""
    layer = nn.Conv2d(3, 2, 1).double()
    inputs = [randn(2, 3, 3, 3), randn(2, 3, 1, 3, seed=1)]
    targets = [layer(x).detach() for x in inputs]
    moments = sample_moments(problem_of(layer, inputs, targets), 7)
    assert moments.count == 2 * (math.ceil(7 * 18 / 24) + math.ceil(7 * 6 / 24)) == 2 * 8
    # the layer writes what it wrote: y is the sum of the contributions
    sums = moments.xx.sum(1)
    torch.testing.assert_close(sums, moments.xy)
    assert float(sums.sum()) == pytest.approx(moments.yy, rel=1e-10)


def test_groups_share_an_images_samples():
    """Each reads its own channels; the rows hold zeros for those of the others."""
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 1, groups=2, bias=False).double()
    x = randn(3, 4, 2, 2)
    y = layer(x).detach()
    moments = sample_moments(problem_of(layer, [x], [y]), 5)
    assert moments.count == 3 * 2 * 3  # ceil(5 / 2) of each group
    whole = sample_moments(problem_of(layer, [x], [y]), 1000)
    assert whole.count == 3 * 6 * 4
    # the group's channels 2, 1, 0 are the layer's 1 (of its group 0), 2 and 3 (of its group 1)
    weight = layer.weight.detach().view(6, 2)
    full = torch.zeros(6, 4).double()
    full[:3, :2], full[3:, 2:] = weight[:3], weight[3:]
    rows = torch.einsum('nchw,fc->nfhwc', x, full).flatten(0, 3)[:, [3, 2, 1]]
    torch.testing.assert_close(whole.xx, rows.T @ rows)
    assert (whole.xx[2, :2] == 0).all() and (whole.xx[0, 1] != 0)


def test_items_behind_rois_share_an_images_samples():
    """Six of two images: each gets a third of an image's share, rounded up."""
    layer = nn.Linear(3, 4).double()
    x = randn(6, 3)
    y = layer(x).detach()
    problem = problem_of(layer, [x], [y], images=2)
    assert [sample_moments(problem, n).count for n in (3, 4, 12, 99)] == [6, 12, 24, 24]
    rows = (x[:, None] * layer.weight.detach()).flatten(0, 1)[:, [2, 1]]
    torch.testing.assert_close(sample_moments(problem, 99).xx, rows.T @ rows)


def test_maps_of_another_precision_than_the_kernel(conv):
    """They are multiplied in the kernel's."""
    layer, (x,), (y,) = conv
    short = sample_moments(problem_of(layer, [x.half()], [y.half()]), 100)
    rows = rows_by_loops(layer, x.half().double(), y.half().double()).reshape(-1, CHANNELS + 1)
    np.testing.assert_allclose(gram(short), rows.T @ rows, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('keys', [dict(padding_mode='reflect'), dict(padding='same')])
def test_other_padding_than_with_zeros(keys):
    layer = nn.Conv2d(4, 2, 3, **{'padding': 1, **keys}).double()
    x = randn(1, 4, 5, 5)
    problem = problem_of(layer, [x], [F.relu(layer(x).detach())])
    with pytest.raises(CompressionError, match=r'zero padding, not Conv2d\(4, 2.*pruning\.layers'):
        sample_moments(problem, 3)
