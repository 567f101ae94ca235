"""How many positions count: against sums over single positions, and where the answer is known."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmdet_lcp.pruning.problem.coherence import effective_positions
from mmdet_lcp.selection.images import SelectionImages


class Weighed(nn.Module):
    """Its loss is the sum of a layer's outputs, each times a number of its own.

    Args:
        layer: what is looked at.
        numbers: by batch, for each run of the layer, in the shape of its output.
        runs: of an image, what the layer reads.
    """

    def __init__(self, layer, numbers, runs=lambda x: [x]):
        super().__init__()
        self.layer, self.numbers, self.runs = layer, numbers, runs

    def loss(self, inputs, samples):
        numbers = self.numbers[samples[0]]
        runs = self.runs(inputs)
        return sum((self.layer(x) * r).sum() for x, r in zip(runs, numbers, strict=True))

    def parse_losses(self, loss):
        return loss, {}


def found(layer, inputs, numbers, runs=lambda x: [x]) -> float:
    net = Weighed(layer, numbers, runs).eval().requires_grad_(False)
    batches = [SelectionImages(x, None, [number]) for number, x in enumerate(inputs)]
    result = effective_positions(net, batches, ['layer', 'layer'])
    assert not any(p.requires_grad or p.grad is not None for p in net.parameters())
    assert list(result) == ['layer']
    return result['layer']


def by_hand(rows, gradients, images, groups) -> float:
    """Of (positions, channels) a batch, with NumPy."""
    x, g = np.concatenate(rows), np.concatenate(gradients)
    mean = x.mean(0)
    total = expected = 0.0
    for own_x, own_g in zip(
        np.split(np.arange(x.shape[1]), groups), np.split(np.arange(g.shape[1]), groups),
        strict=True,
    ):  # fmt: skip
        for batch_x, batch_g in zip(rows, gradients, strict=True):
            kernel = sum(
                np.outer(b[own_g], a[own_x] - mean[own_x])
                for a, b in zip(batch_x, batch_g, strict=True)
            )
            total += (kernel**2).sum()
        spread = ((x[:, own_x] - mean[own_x]) ** 2).sum(1).mean()
        expected += spread * (g[:, own_g] ** 2).sum(1).mean()
    return total / images / expected


@pytest.mark.parametrize('groups', [1, 2])
def test_a_convolution_in_two_runs(groups):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 1, groups=groups)
    inputs = [torch.randn(n, 4, 6, 4) + 1 for n in (2, 3)]
    runs = lambda x: [x, x[..., ::2, ::2]]
    numbers = [[torch.randn(len(x), 6, *r.shape[2:]) for r in runs(x)] for x in inputs]

    def rows(tensors):
        return torch.cat([t.movedim(1, -1).flatten(0, -2) for t in tensors]).double().numpy()

    hand = by_hand([rows(runs(x)) for x in inputs], [rows(own) for own in numbers], 5, groups)
    assert found(layer, inputs, numbers, runs) == pytest.approx(hand, rel=1e-5)


def test_a_linear_layer_on_sequences():
    torch.manual_seed(0)
    inputs = [torch.randn(n, 5, 4) - 2 for n in (2, 1)]
    numbers = [[torch.randn(len(x), 5, 3)] for x in inputs]
    hand = by_hand(
        [x.flatten(0, 1).double().numpy() for x in inputs],
        [own.flatten(0, 1).double().numpy() for (own,) in numbers],
        3,
        1,
    )
    assert found(nn.Linear(4, 3), inputs, numbers) == pytest.approx(hand, rel=1e-5)


@pytest.mark.parametrize('size', [1, 2, 4])
@pytest.mark.parametrize('kernel', [1, 3])
def test_positions_that_are_alike_count_as_often(size, kernel):
    """Noise counts as it is; blocks that want the same change, each as its number squared."""
    generator = torch.Generator().manual_seed(0)

    def blocks(channels):
        noise = torch.randn(4, channels, 32 // size, 32 // size, generator=generator)
        return F.interpolate(noise, scale_factor=float(size))

    # The border's zeros are no change where the mean is 0.
    inputs = [blocks(8) + 3 * (kernel == 1) for _ in range(4)]
    numbers = [[blocks(8)] for _ in range(4)]
    layer = nn.Conv2d(8, 8, kernel, padding=kernel // 2)
    share = found(layer, inputs, numbers) / 32**2
    # A row of a block: all of its positions want the same under the middle tap; under one beside
    # it the last one reads another block.
    row = [size**2] if kernel == 1 else [size**2] + 2 * [(size - 1) ** 2 + 1]
    assert share == pytest.approx((np.mean(row) / size) ** 2, rel=0.15)


def test_what_the_loss_does_not_reach_is_left_out():
    class Apart(Weighed):
        def loss(self, inputs, samples):
            self.layer(inputs)
            return inputs.sum()

    net = Apart(nn.Conv2d(2, 2, 1), []).eval().requires_grad_(False)
    assert (
        effective_positions(net, [SelectionImages(torch.randn(1, 2, 4, 4), None)], ['layer']) == {}
    )
