"""Second moments against NumPy, and the rows against PyTorch's convolution."""

import numpy as np
import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.least_squares.moments import Moments, patches


@pytest.mark.parametrize(
    ('stride', 'padding', 'dilation', 'kernel'),
    [(1, 1, 1, 3), (2, 1, 1, 3), (1, 6, 6, 3), (1, 0, 1, 1), (2, 3, 1, 7), ((1, 2), 0, 1, (2, 3))],
)
def test_patches_give_the_convolution(stride, padding, dilation, kernel):
    layer = nn.Conv2d(5, 4, kernel, stride, padding, dilation)
    x = torch.randn(2, 5, 13, 15)
    expected = layer(x).flatten(2)
    chosen = torch.stack([torch.randperm(expected.shape[2])[:12] for _ in range(2)])
    rows = patches(layer, x, chosen)
    got = rows @ layer.weight.flatten(1).T + layer.bias
    for image in range(2):
        torch.testing.assert_close(got[image], expected[image][:, chosen[image]].T)


def test_only_zero_padding_is_known():
    layer = nn.Conv2d(2, 2, 3, padding=1, padding_mode='reflect')
    with pytest.raises(CompressionError, match='zero padding'):
        patches(layer, torch.zeros(1, 2, 5, 5), torch.zeros(1, 1, dtype=torch.long))


def rows(seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(30, 4)), random.normal(size=(30, 3)), random.uniform(0, 2, 30)


def moments_of(x, y, w, parts=3):
    moments = Moments.zeros(x.shape[1], y.shape[1], torch.device('cpu'))
    for part in np.array_split(np.arange(len(x)), parts):
        moments.add(*(torch.tensor(value[part]) for value in (x, y, w)))
    return moments


def test_weighted_sums_equal_numpy():
    x, y, w = rows()
    found = moments_of(x, y, w)
    np.testing.assert_allclose(found.xx, (x * w[:, None]).T @ x, atol=1e-12)
    np.testing.assert_allclose(found.xy, (x * w[:, None]).T @ y, atol=1e-12)
    np.testing.assert_allclose(found.yy, w @ y**2, atol=1e-12)
    np.testing.assert_allclose(found.x, w @ x)
    np.testing.assert_allclose(found.y, w @ y)
    kept = found.rows(torch.tensor([3, 1]))
    np.testing.assert_allclose(kept.xx, found.xx.numpy()[np.ix_([3, 1], [3, 1])])
    np.testing.assert_allclose(kept.xy, found.xy[[3, 1]])


def test_products_in_tiles_of_single_precision(monkeypatch):
    """Tiles that do not divide the rows; the error is that of sums of float32 products."""
    monkeypatch.setattr('mmdet_lcp.least_squares.moments.TILE', 3)
    random = np.random.default_rng(2)
    x = (random.normal(size=(200, 8)) + 1).astype('f4')
    found = Moments.zeros(8, 1, torch.device('cpu'))
    for part in np.array_split(x, 3):
        found.add(torch.tensor(part), torch.zeros(len(part), 1), torch.ones(len(part)).double())
    exact = x.T.astype('f8') @ x.astype('f8')
    bound = 200 * 2.0**-24 * np.abs(x).T.astype('f8') @ np.abs(x)
    assert (np.abs(found.xx.numpy() - exact) <= bound).all()
    assert torch.equal(found.xx, found.xx.T)


def test_sums_of_two_sets():
    x, y, w = rows()
    both = moments_of(x[:10], y[:10], w[:10]) + moments_of(x[10:], y[10:], w[10:])
    whole = moments_of(x, y, w)
    for name in ('weight', 'x', 'y', 'xx', 'xy', 'yy'):
        torch.testing.assert_close(getattr(both, name), getattr(whole, name))


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_one_bad_number_shows(bad):
    x, y, w = rows()
    assert moments_of(x, y, w).finite
    x[3, 1] = bad
    assert not moments_of(x, y, w).finite


def test_outputs_beside_the_same_inputs():
    x, y, w = rows()
    found = Moments.zeros(4, 3, torch.device('cpu'))
    other = found.with_outputs(1)
    x, y, w = (torch.tensor(value) for value in (x, y, w))
    found.add(x, y, w)
    other.add_outputs(x, y[:, :1], w)
    for name in ('weight', 'x', 'xx'):
        assert getattr(other, name) is getattr(found, name)
    for name in ('y', 'xy', 'yy'):
        torch.testing.assert_close(getattr(other, name), getattr(found, name)[..., :1])
    own = other.apart()
    found.add(x, y, w)
    torch.testing.assert_close(own.xx * 2, found.xx)
