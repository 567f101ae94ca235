"""What is read is exact; what comes back is the factor times the gradient."""

import pytest
import torch

from mmdet_lcp.transforms import LowBitWeight, read_as, sign_through


def test_what_is_read_is_exact():
    """x + (read - x) would not be: 0.1 + (0.7 - 0.1) is another float."""
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(0), requires_grad=True)
    read = torch.full_like(values, 0.7)
    assert len((values + (read - values)).unique()) > 1  # why it is not done so
    assert torch.equal(read_as(values, read, torch.ones(())), read)


@pytest.mark.parametrize('scale', ['layer', 'channel'])
@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_low_bit_weights_have_so_many_values_and_no_more(bits, scale):
    weight = torch.randn(40, 30, 3, 3, generator=torch.Generator().manual_seed(0)) * 0.05
    read = LowBitWeight(bits, scale)(weight.requires_grad_())
    rows = read if scale == 'channel' else [read]
    assert max(len(row.unique()) for row in rows) <= 2**bits


def test_the_factor_reaches_the_values_alone():
    values = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    read = torch.tensor([5.0, 6.0, 7.0], requires_grad=True)
    factor = torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
    (read_as(values, read, factor) * torch.tensor([10.0, 20.0, 30.0])).sum().backward()
    assert values.grad.tolist() == [0.0, 10.0, 30.0]
    assert read.grad is None and factor.grad is None


def test_the_sign_has_the_gradient_of_the_hard_tanh():
    """By finite differences of the hard tanh, away from its corners."""
    points = torch.tensor([-3.0, -1.01, -0.99, -0.2, 0.3, 0.97, 1.2], dtype=torch.float64)
    points.requires_grad_()
    factors = torch.arange(1.0, 8.0, dtype=torch.float64)
    (sign_through(points) * factors).sum().backward()
    step = 1e-6
    above, below = (points.detach() + step).clamp(-1, 1), (points.detach() - step).clamp(-1, 1)
    assert torch.allclose(points.grad, factors * (above - below) / (2 * step))


def test_zero_counts_as_positive():
    assert sign_through(torch.tensor([-0.0, 0.0, -1e-30, 2.0])).tolist() == [1, 1, -1, 1]
