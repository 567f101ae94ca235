"""Layers that run several times, and transposed convolutions, in every criterion and update.

A 1x1 convolution on two maps is the same convolution on one map with both below each other: what
scores and solutions come to must not depend on how the outputs are cut.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdet_lcp.pruning.criteria import (
    DCP,
    FPGM,
    LCP,
    BackwardElimination,
    GroupFisher,
    L1Norm,
    L2Norm,
    Taylor,
    ThiNet,
)
from mmdet_lcp.pruning.criteria.thinet_samples import sample_moments
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.pruning.updates import ChannelScaleUpdate, ExactUpdate, SGDUpdate
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.positions import Positions

CHANNELS = 5


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def made(cut: bool) -> SelectionProblem:
    """A layer on maps of 3x4 and 2x4, or on one of 5x4; its outputs are not quite linear."""
    torch.manual_seed(0)
    conv = nn.Conv2d(CHANNELS, 3, 1).double()
    batches = []
    for seed, images in ((1, 4), (2, 3)):
        x = randn(images, CHANNELS, 5, 4, seed=seed) * torch.linspace(0.5, 1.5, 5).view(-1, 1, 1)
        y = conv(x).detach() + 0.5 * randn(images, 3, 5, 4, seed=seed + 5)
        inputs, targets = ([v[:, :, :3], v[:, :, 3:]] if cut else [v] for v in (x, y))
        batches.append(SelectionBatch({'c': inputs}, {'c': targets}, None))
    layer = Layer(conv, torch.arange(CHANNELS), torch.arange(CHANNELS))
    metrics = {'c': torch.diag(torch.tensor([1.0, 2.0, 0.5])).double()}
    return SelectionProblem(
        'g', CHANNELS, {'c': layer}, {}, BatchCache(lambda: batches),
        positions=Positions(objects=0.0), metrics=metrics,
    )  # fmt: skip


@pytest.mark.parametrize(
    'criterion', [LCP(), LCP(greedy_steps=3), DCP(batches_per_step=None), BackwardElimination()]
)
def test_selections(criterion):
    one, two = (criterion.select(made(cut), 3) for cut in (False, True))
    assert one.keep == two.keep
    np.testing.assert_allclose(one.scores, two.scores, rtol=1e-6)
    for key in one.log:
        assert one.log[key] == pytest.approx(two.log[key], rel=1e-6)


@pytest.mark.parametrize('update', [SGDUpdate(passes=4), ExactUpdate(), ExactUpdate(ridge=1e-2)])
def test_updates(update):
    problems = [made(cut) for cut in (False, True)]
    one, two = (update.apply(problem, [0, 2, 3]) for problem in problems)
    assert one == pytest.approx(two, rel=1e-6)
    weights = [problem.consumers['c'].module.weight for problem in problems]
    torch.testing.assert_close(*weights, rtol=1e-6, atol=1e-8)


def test_samples_of_every_run():
    """So many an image over all runs, each run as often as its outputs ask for."""
    problem = made(cut=True)
    found = sample_moments(problem, 10)
    # 36 and 24 of 60 outputs an image: 6 and 4 of 10 samples, of 7 images.
    assert found.count == 7 * 10
    everything = sample_moments(problem, 10_000)
    assert everything.count == 7 * 60
    whole = sample_moments(made(cut=False), 10_000)
    torch.testing.assert_close(everything.xx, whole.xx)
    torch.testing.assert_close(everything.xy, whole.xy)
    select, scale = ThiNet(10_000), ChannelScaleUpdate(10_000)
    assert select.select(problem, 3).keep == select.select(made(cut=False), 3).keep
    both = [made(cut) for cut in (False, True)]
    logs = [scale.apply(each, [0, 1, 4]) for each in both]
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)


class Twice(nn.Module):
    """A head on two maps; its channels are written by a convolution that runs twice as well."""

    def __init__(self, up: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.write = (nn.ConvTranspose2d if up else nn.Conv2d)(3, 4, 2)
        self.read = (nn.ConvTranspose2d if up else nn.Conv2d)(4, 2, 2)
        self.double()

    def losses(self, x, mask=None):
        """L_n of each image, with a mask (N, 4) on what the head reads."""
        total = 0
        for level in (x, x[..., ::2] * 0.7):
            y = self.write(level).tanh()
            y = y if mask is None else y * mask[:, :, None, None]
            total = total + self.read(y).square().sum((1, 2, 3))
        return total

    def loss(self, inputs, data_samples):
        return {'loss': self.losses(inputs).sum() / len(inputs)}

    def parse_losses(self, losses):
        return losses['loss'], losses


def problem_of(detector, images):
    def layer(path):
        return {path: Layer(detector.get_submodule(path), torch.arange(4), torch.arange(4))}

    return SelectionProblem(
        'g', 4, layer('read'), layer('write'), BatchCache(list),
        detector=detector, images=[SelectionImages(images, None)],
    )  # fmt: skip


@pytest.mark.parametrize('up', [False, True])
def test_group_fisher_and_taylor(up):
    """Against masks written into the network, and finite differences."""
    detector, images = Twice(up), randn(3, 3, 5, 6)
    problem = problem_of(detector, images)
    expected = torch.zeros(4, dtype=torch.float64)
    for x in images.split(1):
        mask = torch.ones(1, 4, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(detector.losses(x, mask).sum() / 3, mask)
        expected += gradient[0].square()
    torch.testing.assert_close(GroupFisher(None).scores(problem), expected)

    found = Taylor().scores(problem)
    for channel in range(4):
        values = []
        for step in (1e-5, -1e-5):
            other = Twice(up)
            rows = other.write.weight[:, channel] if up else other.write.weight[channel]
            with torch.no_grad():
                rows *= 1 + step
                values.append(float(other.losses(images).sum() / 3))
        slope = (values[0] - values[1]) / 2e-5
        assert float(found[channel]) == pytest.approx(slope**2, rel=1e-5)


def test_what_a_channel_of_a_transposed_convolution_saves():
    """By hand: a kernel of 2x2 makes maps of 6x7 from 5x6 and of 6x4 from 5x3."""
    detector, images = Twice(up=True), randn(2, 3, 5, 6)
    problem = problem_of(detector, images)
    plain = GroupFisher(None).scores(problem)
    written = 6 * 7 + 6 * 4
    torch.testing.assert_close(GroupFisher().scores(problem), plain / (written * 1e-6))
    # Every input costs 4 taps an output: 3 channels write one, one is read by 2.
    macs = (5 * 6 + 5 * 3) * 3 * 4 + written * 2 * 4
    torch.testing.assert_close(GroupFisher('flops').scores(problem), plain / (macs * 1e-9))


def test_filters_of_a_transposed_convolution():
    detector = Twice(up=True)
    problem = problem_of(detector, randn(1, 3, 5, 6))
    filters = detector.write.weight.detach().numpy().transpose(1, 0, 2, 3).reshape(4, -1)
    for criterion, expected in (
        (L1Norm(), np.abs(filters).sum(1)),
        (L2Norm(), np.sqrt((filters**2).sum(1))),
        (FPGM(), np.linalg.norm(filters[:, None] - filters[None], axis=2).sum(1)),
    ):
        np.testing.assert_allclose(criterion.scores(problem).numpy(), expected, rtol=1e-6)


def test_the_loss_of_a_transposed_convolution_that_reads():
    """L_re and its gradient with some input channels at zero, by autograd on the layer itself."""
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(4, 3, 2, stride=2).double()
    x, y = randn(2, 4, 3, 3), randn(2, 3, 6, 6, seed=1)
    problem = SelectionProblem(
        'g', 2, {'up': Layer(up, torch.tensor([1, 3, 0, 2]), torch.tensor([0, 0, 1, 1]))}, {},
        BatchCache(lambda: [SelectionBatch({'up': x}, {'up': y}, None)]),
    )  # fmt: skip
    masked = problem.masked(problem.weights(), [1])['up']
    assert not masked[[1, 3]].any()
    assert torch.equal(masked[[0, 2]], up.weight[[0, 2]])
    found = problem.gradients({'up': masked})
    leaf = masked.clone().requires_grad_(True)
    loss = (F.conv_transpose2d(x, leaf, up.bias, stride=2) - y).square().mean() / 2
    (expected,) = torch.autograd.grad(loss, leaf)
    assert found.loss == pytest.approx(float(loss))
    torch.testing.assert_close(found.total['up'], expected)
    squares = expected.square().sum((1, 2, 3))
    torch.testing.assert_close(
        problem.per_channel(found.total),
        torch.stack([squares[[1, 3]].sum(), squares[[0, 2]].sum()]),
    )
