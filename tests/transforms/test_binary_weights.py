"""Binary weights against a search over all signs, loops, and finite differences."""

import itertools

import pytest
import torch
from torch import nn

from mmdet_lcp.transforms import SignWeight, XNORWeight, attach, filter_scales


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) * 0.4


def test_xnor_is_the_least_squares_of_all_signs():
    """Over every sign vector, each with its best scale <W, B> / n: a filter of 2 x 2 x 2."""
    weight = weights(3, 2, 2, 2)
    read = XNORWeight()(weight)
    for row, found in zip(weight.flatten(1), read.flatten(1), strict=True):
        best = min(
            (
                float((row - scale * signs).square().sum())
                for signs in map(torch.tensor, itertools.product((-1.0, 1.0), repeat=len(row)))
                for scale in [(row * signs).mean()]
            ),
        )
        assert float((row - found).square().sum()) == pytest.approx(best, rel=1e-12)
    assert torch.allclose(filter_scales(weight).flatten(), weight.abs().mean((1, 2, 3)))


def test_the_gradient_of_xnor_weights_by_a_loop():
    """The paper's: dC/dW_i = dC/dW~_i (1/n + [|W_i| <= 1] alpha)."""
    weight = weights(4, 3, 3, 3) * 3
    weight.requires_grad_()
    gradient = weights(4, 3, 3, 3, seed=1)
    (XNORWeight()(weight) * gradient).sum().backward()
    for row in range(4):
        values = weight[row].flatten().tolist()
        alpha = sum(map(abs, values)) / 27
        for value, sent, got in zip(
            values, gradient[row].flatten().tolist(), weight.grad[row].flatten(), strict=True
        ):
            inside = 1 if abs(value) <= 1 else 0
            assert float(got) == pytest.approx(sent * (1 / 27 + inside * alpha))
    assert (weight.abs() > 1).any() and (weight.abs() < 1).any()


def test_signs_pass_the_gradient_inside_the_clip():
    weight = torch.tensor([[0.3, -0.2], [1.0, -0.0]], requires_grad=True)
    transform = SignWeight()
    read = transform(weight)
    assert read.tolist() == [[1, -1], [1, 1]]
    (read * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert weight.grad.tolist() == [[1, 2], [3, 4]]


def test_latent_weights_are_clipped_while_training():
    """A weight that a large step has thrown out comes back when the gradient says so."""
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.9, -0.9]]))
    attach(layer, SignWeight())
    original = layer.parametrizations.weight.original
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    for target in (-5.0, 5.0):
        optimizer.zero_grad()
        (layer(torch.ones(1, 2)) * target).sum().backward()
        assert original.grad.abs().sum() == 10.0  # none is stopped
        optimizer.step()
    # 0.9 + 5 is clipped to 1 before the second step, which takes 5 away
    assert original.tolist() == [[1.0 - 5, 1.0 - 5]]
    layer.eval()
    layer(torch.ones(1, 2))
    assert original.tolist() == [[-4.0, -4.0]]  # evaluation changes nothing


def test_a_layer_that_runs_several_times_sums_its_gradients():
    """As heads do that levels share: the parametrized weight is read at each run."""
    layer, plain = nn.Conv2d(2, 3, 3, bias=False), nn.Conv2d(2, 3, 3, bias=False)
    levels = [torch.randn(1, 2, size, size) for size in (5, 7, 9)]
    with torch.no_grad():
        alpha = layer.weight.abs().mean((1, 2, 3), keepdim=True)
        plain.weight.copy_(alpha * torch.where(layer.weight < 0, -1.0, 1.0))
    attach(layer, XNORWeight())
    for module in (layer, plain):
        sum(module(level).square().mean() for level in levels).backward()
    original = layer.parametrizations.weight.original
    factor = 1 / 18 + alpha * (original.detach().abs() <= 1)
    assert torch.allclose(original.grad, plain.weight.grad * factor, rtol=1e-5)
