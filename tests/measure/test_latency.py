import time

import detectors
import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.latency import latency_ms, undisturbed_clock


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.Conv2d(8, 8, 3, groups=4)
        )
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.shared = nn.Conv2d(6, 6, (1, 3), padding=(0, 1))
        self.fc = nn.Linear(6, 5)
        self.unused = nn.Linear(2, 2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        x = self.up(self.backbone(x))
        x = self.shared(self.shared(x))
        return self.drop(self.fc(x.mean((2, 3))))


@pytest.mark.parametrize('mode', ['tensor', 'predict'])
def test_latency_is_positive_and_restores_the_modes(mode):
    detector = detectors.tiny_detector('retinanet').train()
    before = torch.get_rng_state()
    assert latency_ms(detector, (64, 64), runs=2, warmup=1, mode=mode) > 0
    assert torch.equal(before, torch.get_rng_state())
    assert detector.training and detector.bbox_head.training


def test_no_runs():
    with pytest.raises(CompressionError, match='at least one run'):
        latency_ms(Net(), (8, 8), runs=0)


def test_what_counts_of_the_runs():
    for more, expected in ((dict(), 3000.0), (dict(pick=min), 2000.0)):
        seconds = iter([0.0, 10.0, 12.0, 20.0, 23.0, 30.0, 37.0])  # the first to warm up
        more |= dict(runs=3, warmup=1, clock=seconds.__next__)
        assert latency_ms(Net(), (16, 20), **more) == expected


def test_an_undisturbed_clock(monkeypatch):
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 1)
    assert undisturbed_clock(torch.device('cpu')) is time.process_time
    assert undisturbed_clock(torch.device('cuda')) is time.perf_counter
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2)
    assert undisturbed_clock(torch.device('cpu')) is time.perf_counter
