"""Low-bit weights against a brute-force search, closed forms, and finite differences."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.transforms import LowBitWeight, quantize


def test_one_bit_is_the_best_of_all_sign_patterns():
    """XNOR-Net's closed form: over all Q in {-1, 1}^n and all alpha, sign(W) and mean|W|."""
    weight = torch.tensor([0.3, -0.7, 0.05, -0.2, 0.9, -0.01], dtype=torch.float64)
    best = None
    for signs in itertools.product((-1.0, 1.0), repeat=6):
        q = torch.tensor(signs, dtype=torch.float64)
        for alpha in torch.linspace(0, 1, 2001, dtype=torch.float64):
            error = float((weight - alpha * q).square().sum())
            if best is None or error < best[0]:
                best = (error, signs, float(alpha))
    found = quantize(weight, 1)
    assert tuple(found.levels.double().tolist()) == best[1]
    assert float(found.scale) == pytest.approx(best[2], abs=5e-4)
    assert float(found.scale) == pytest.approx(float(weight.abs().mean()))


@pytest.mark.parametrize('bits', [1, 2, 3, 4, 8])
def test_levels_are_floors_on_an_even_grid(bits):
    """By hand: cell number floor((w + b) / step) counts from the lowest level."""
    generator = torch.Generator().manual_seed(bits)
    weight = torch.randn(500, generator=generator, dtype=torch.float64) * 0.2
    bound = min(float(weight.abs().max()), 1.0)
    step = 2 * bound / 2**bits
    found = quantize(weight, bits)
    for value, level in zip(weight.tolist(), found.levels.tolist(), strict=True):
        cell = min(int((value + bound) // step), 2**bits - 1)
        assert level == 2 * cell - (2**bits - 1)
    assert len(found.levels.unique()) <= 2**bits


@pytest.mark.parametrize('bits', [1, 2, 3])
@pytest.mark.parametrize('per_channel', [False, True])
def test_no_other_scale_is_better(bits, per_channel):
    """A search over scales finds none with a smaller error than the least squares."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, 3, 3, generator=generator, dtype=torch.float64) * 0.3
    weight = weight.clamp(-1, 1)
    found = quantize(weight, bits, per_channel)
    error = (weight - found.weight()).square().flatten(1).sum(1)
    for factor in torch.linspace(0.5, 1.5, 101, dtype=torch.float64):
        other = (weight - factor * found.weight()).square().flatten(1).sum(1)
        if per_channel:
            assert (other >= error - 1e-12).all()
        else:
            assert other.sum() >= error.sum() - 1e-12


def test_the_error_shrinks_with_every_bit():
    weight = torch.randn(64, 16, 3, 3, generator=torch.Generator().manual_seed(0)) * 0.1
    errors = [float((quantize(weight, m).weight() - weight).square().mean()) for m in range(1, 9)]
    for smaller, larger in itertools.pairwise(reversed(errors)):
        assert smaller < larger
    # From two bits on the step halves, and the error is about step^2 / 12.
    step = 2 * float(weight.abs().max()) / 2**8
    assert errors[-1] == pytest.approx(step**2 / 12, rel=0.1)


def test_weights_beyond_one_are_clipped():
    found = quantize(torch.tensor([4.0, 0.5, -0.25]), 1)
    assert float(found.scale) == pytest.approx((1 + 0.5 + 0.25) / 3)


def test_zero_weights_read_as_zero():
    weight = torch.zeros(2, 3)
    weight[1] = torch.tensor([0.5, -0.5, 0.5])
    read = quantize(weight, 1, per_channel=True).weight()
    assert torch.equal(read, weight)


def test_gradient_passes_straight_through_but_not_where_clipped():
    weight = torch.tensor([2.0, 0.5, -0.1, -1.5, 1.0], requires_grad=True)
    factors = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    (LowBitWeight(bits=2)(weight) * factors).sum().backward()
    assert torch.equal(weight.grad, torch.tensor([0.0, 2.0, 3.0, 0.0, 5.0]))


def test_a_parametrized_layer_computes_with_the_read_weight():
    layer = nn.Conv2d(3, 4, 3)
    plain = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, 'weight', LowBitWeight(bits=1, scale='channel'))
    x = torch.randn(1, 3, 5, 5)
    alpha = plain.abs().mean((1, 2, 3), keepdim=True)
    expected = nn.functional.conv2d(x, alpha * torch.where(plain < 0, -1.0, 1.0), layer.bias)
    assert torch.allclose(layer(x), expected, atol=1e-6)


@pytest.mark.parametrize('keys', [dict(bits=0), dict(bits=9), dict(bits=1.5), dict(scale='row')])
def test_bad_values(keys):
    with pytest.raises(CompressionError):
        LowBitWeight(**keys)
