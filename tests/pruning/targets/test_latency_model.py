"""The model of the latency, on a made-up clock that no measurement can spoil."""

import itertools
import random
from pathlib import Path

import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.latency_table import LatencyTable, layer_calls
from mmdet_lcp.measure.pair_timing import PairTiming
from mmdet_lcp.pruning.targets import stopwatches
from mmdet_lcp.pruning.targets.cost_model import first_channels
from mmdet_lcp.pruning.targets.latency_model import Latency
from mmdet_lcp.pruning.targets.stopwatches import Stopwatch


def alone(module: nn.Module, inputs: torch.Tensor) -> float:
    """Milliseconds of a layer alone: a call, and a part that grows with the work."""
    work = module.weight.numel() * inputs.numel() / inputs.shape[1 if inputs.dim() > 2 else -1]
    return 0.01 + 1e-6 * work


class Clock:
    """Whole detectors: layers take 1.3 times as long as alone, what they write takes time too."""

    def __init__(self, curve: float = 0.0) -> None:
        self.curve = curve
        self.layers = 0
        self.detectors = 0

    def layer(self, module, inputs) -> float:
        self.layers += 1
        return alone(module, inputs)

    def whole(self, detector: nn.Module, size) -> float:
        """With ``curve``, something that the model does not know of."""
        total, elements = 0.7, 0.0
        for call in layer_calls(detector, size):
            module = detector.get_submodule(call.path)
            ins, outs = call.shape.channels
            rows = torch.zeros(call.shape.build(ins, outs)[1])
            total += 1.3 * alone(module, rows)
            elements += call.elements * outs
        return total + 2e-5 * elements + self.curve * elements**0.5

    def pair(self, first, second, size):
        self.detectors += 1
        return self.whole(first, size), self.whole(second, size)

    @property
    def stopwatch(self) -> Stopwatch:
        return Stopwatch(self.layer, self.pair)


def measure(
    case, tmp_path: Path, clock: Clock, given=None, least=None, told=None, any_device=False
) -> Latency:
    least = least or [max(1, n // 10) for n in case.channels]
    tell = (told if told is not None else []).append
    cache = tmp_path / 'latency_table.json'
    return Latency(
        case.detector, case.groups, least, case.size, cache, given, clock.stopwatch, tell,
        any_device,
    )  # fmt: skip


@pytest.mark.parametrize('name', ['vgg', 'r18'])
def test_predicts_detectors_that_were_not_measured(name, request, tmp_path):
    case = request.getfixturevalue(name)
    clock = Clock()
    latency = measure(case, tmp_path, clock)
    assert clock.detectors == 2
    draw = random.Random(0)
    for _ in range(3):
        counts = [draw.randint(max(1, n // 10), n) for n in case.channels]
        pruned = first_channels(case.detector, case.groups, counts)
        expected = clock.whole(pruned, case.size)
        assert latency.model.total(counts) == pytest.approx(expected, rel=1e-6)
        share = expected / clock.whole(case.detector, case.size)
        assert latency.share(counts) == pytest.approx(share)
    assert latency.dense_ms == pytest.approx(clock.whole(case.detector, case.size))


def test_a_layer_that_runs_twice_counts_twice(net, tmp_path):
    clock = Clock()
    latency = measure(net, tmp_path, clock, least=[1, 1])
    for counts in itertools.product([1, 2, 5, 6], [1, 3, 4]):
        pruned = first_channels(net.detector, net.groups, counts)
        expected = clock.whole(pruned, net.size)
        assert latency.model.total(counts) == pytest.approx(expected, rel=1e-6)


def test_what_the_model_does_not_know_of_stays_within_a_tenth(vgg, tmp_path):
    clock = Clock(curve=2e-3)
    latency = measure(vgg, tmp_path, clock)
    draw = random.Random(1)
    for _ in range(4):
        counts = [draw.randint(max(1, n // 10), n) for n in vgg.channels]
        pruned = first_channels(vgg.detector, vgg.groups, counts)
        expected = clock.whole(pruned, vgg.size)
        assert latency.model.total(counts) == pytest.approx(expected, rel=0.1)


def test_a_shape_is_timed_once(vgg, tmp_path):
    """And a second run times no layer at all."""
    clock = Clock()
    told = []
    measure(vgg, tmp_path, clock, told=told)
    shapes = {call.shape for call in layer_calls(vgg.detector, vgg.size)}
    assert len(told) == len(shapes) < len(layer_calls(vgg.detector, vgg.size))
    assert told[-1].startswith(f'Timed {len(shapes)}/{len(shapes)} layers: Conv2d')
    assert 0 < clock.layers <= 16 * len(shapes)
    again = Clock()
    measure(vgg, tmp_path, again)
    assert (again.layers, again.detectors) == (0, 2)
    # narrower than the table knows: what lacks is timed
    measure(vgg, tmp_path, again, least=[1] * len(vgg.channels))
    assert again.layers > 0


class TestGiven:
    @pytest.fixture
    def made(self, net, tmp_path) -> Path:
        """A table of this device."""
        measure(net, tmp_path, Clock(), least=[1, 1])
        return (tmp_path / 'latency_table.json').rename(tmp_path / 'given.json')

    @pytest.fixture
    def foreign(self, made) -> Path:
        table = LatencyTable.read(made)
        table.device = 'a telephone'
        table.write()
        return made

    def test_of_this_device(self, net, made, tmp_path):
        clock = Clock()
        before = made.read_bytes()
        latency = measure(net, tmp_path, clock, made, least=[1, 1])
        assert latency.measurable
        assert (clock.layers, clock.detectors) == (0, 2)
        assert made.read_bytes() == before  # what is measured goes into the work_dir
        assert (tmp_path / 'latency_table.json').exists()

    def test_of_another_device(self, net, foreign, tmp_path):
        clock, told = Clock(), []
        latency = measure(net, tmp_path, clock, foreign, [1, 1], told, any_device=True)
        assert not latency.measurable
        assert (clock.layers, clock.detectors) == (0, 0)
        assert 'is of another device (a telephone)' in told[0]
        expected = Clock().whole(first_channels(net.detector, net.groups, [3, 2]), net.size)
        assert latency.model.total([3, 2]) == pytest.approx(expected, rel=1e-6)
        assert not (tmp_path / 'latency_table.json').exists()

    def test_of_another_device_only_when_told_to(self, net, foreign, tmp_path):
        """Both devices are named, with processor, threads and version, and what to do."""
        with pytest.raises(CompressionError, match=r'\(a telephone\) than this one \(') as error:
            measure(net, tmp_path, Clock(), foreign, least=[1, 1])
        for word in (f'torch {torch.__version__}', 'threads', 'target.any_device=True'):
            assert word in str(error.value)

    def test_that_lacks_a_layer(self, vgg, foreign, tmp_path):
        with pytest.raises(CompressionError, match=r'given\.json: lacks \d+ layers .* Conv2d 3->'):
            measure(vgg, tmp_path, Clock(), foreign, any_device=True)

    def test_without_whole_detectors(self, net, foreign, tmp_path):
        table = LatencyTable.read(foreign)
        table.anchors = []
        table.write()
        with pytest.raises(CompressionError, match='has no times of whole detectors'):
            measure(net, tmp_path, Clock(), foreign, least=[1, 1], any_device=True)


def test_channels_are_chosen_by_the_times_that_are_reported(monkeypatch):
    """The least of the rounds; a busy machine is told."""
    busy, told = PairTiming([4.0, 8.0], [3.0, 3.0]), []
    monkeypatch.setattr(stopwatches, 'print_log', lambda text, **_: told.append(text))
    monkeypatch.setattr(stopwatches, 'time_pair', lambda *_: busy)
    one = nn.Linear(1, 1)
    assert Stopwatch().detectors(one, one, (8, 8)) == (4.0, 3.0)
    assert told == [busy.busy] != ['']
