"""What a trial removes, and how outputs are compared."""

import pytest
import torch
from torch import nn
from toys import chain

from mmdet_lcp.coverage.bench import Bench, cast, halved
from mmdet_lcp.coverage.detectors import SupportedDetector
from mmdet_lcp.coverage.facts import TrialFacts
from mmdet_lcp.graph import find_groups


def made(size: int) -> Bench:
    return Bench(SupportedDetector('D', 'd.py', size), TrialFacts('D', 'd.py', size))


def test_the_smallest_filters_go():
    detector = chain()
    groups = {g.name: g for g in find_groups(detector, (8, 8))}
    with torch.no_grad():
        for factor, row in zip([3.0, 1.0, -4.0, 0.5], detector[0].weight, strict=True):
            row.fill_(factor)
        for factor, row in zip([1.0, 2.0, 3.0, 4.0, 5.0], detector[3].weight, strict=True):
            row.fill_(factor)
    plan = halved(detector, [groups['0'], groups['3']])
    assert plan.modules['0']['out_channels'].keep == (0, 2)
    assert plan.modules['1']['in_channels'].keep == (0, 2)
    assert plan.modules['3']['out_channels'].keep == (2, 3, 4)  # two of five go
    assert plan.modules['4']['out_channels'].keep == (2, 3, 4)
    assert plan.modules['5']['in_channels'].keep == (2, 3, 4)
    assert '2' not in plan.modules


class TestDoublePrecision:
    """Detectors are compared in it where they can compute in it."""

    @pytest.fixture
    def bench(self) -> Bench:
        return made(64)

    def test_where_it_works(self, bench):
        dtypes = bench.in_double('masked', lambda dtype: (dtype, torch.zeros(1).dtype))
        assert dtypes == (torch.double, torch.double)
        assert bench.facts.single == []
        assert torch.zeros(1).dtype is torch.float

    def test_where_it_is_mixed_with_single_precision(self, bench):
        layer = nn.Linear(2, 2)

        def masked(dtype: torch.dtype) -> torch.Tensor:
            return cast(layer, dtype)(torch.ones(1, 2, dtype=torch.float))

        assert bench.in_double('masked', masked).dtype is torch.float
        assert bench.facts.single == ['masked']
        assert torch.zeros(1).dtype is torch.float
        bench.differ('masked', [torch.tensor([1.0005])], [torch.tensor([1.0])])
        with pytest.raises(ValueError, match='the outputs differ by 5'):
            bench.differ('reloaded', [torch.tensor([1.0005])], [torch.tensor([1.0])])

    def test_what_fails_in_both_is_told(self, bench):
        with pytest.raises(ZeroDivisionError):
            bench.in_double('masked', lambda dtype: 1 / 0)


class Best(nn.Module):
    """Reads its best place, of two that are equal but for rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 1, bias=False)
        self.two = nn.Conv2d(4, 1, 1, bias=False)
        self.tip = 0.0

    def forward(self, inputs):
        scores = self.two(self.one(inputs)).flatten(1)
        scores = torch.stack([scores[:, 0], scores[:, 0] + self.tip], 1)
        return torch.arange(2.0)[scores.argmax(1)] + 1 + scores.sum()


def test_what_the_last_bit_tips_is_chosen_alike():
    bench = made(16)
    one, two = Best(), Best()
    two.load_state_dict(one.state_dict())
    one.tip, two.tip = 1e-12, -1e-12

    def run(detector):
        return [detector(torch.ones(1, 3, 1, 1))]

    bench.alike('masked', one, two, run)
    assert bench.facts.chosen == ['masked'] and bench.facts.differences['masked'] < 1e-6
    with torch.no_grad():
        two.two.weight.mul_(2)
    with pytest.raises(ValueError, match='the outputs differ'):
        bench.alike('again', one, two, run)


def test_the_training_loss_with_norms_and_dropout_at_rest():
    """By hand: in train mode, but as if norms and dropout were in eval mode."""

    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.drop = nn.BatchNorm2d(3), nn.Dropout(0.5)

        def loss(self, inputs, samples):
            assert self.training
            return self.drop(self.norm(inputs)).mean() + torch.rand(())

        def parse_losses(self, loss):
            return loss, {}

    detector = Detector().eval()
    detector.norm.running_mean.fill_(0.5)
    bench = made(16)
    found = bench.loss_of(detector)
    inputs = bench.batch_for(detector).inputs
    torch.manual_seed(0)
    expected = ((inputs - 0.5) / (1 + 1e-5) ** 0.5).mean() + torch.rand(())
    assert torch.allclose(found, expected, atol=1e-6)
    assert not any(module.training for module in detector.modules())
    assert detector.norm.running_mean.tolist() == [0.5] * 3
