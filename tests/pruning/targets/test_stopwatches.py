"""Latencies in a runtime: really run in ONNX Runtime, on the smallest network that has groups."""

import json
import sys

import numpy as np
import onnxruntime
import pytest
import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.layer_kit.whole import whole_bench
from mmdet_lcp.export.writer import write_onnx
from mmdet_lcp.measure import on_device
from mmdet_lcp.measure.latency_table import LatencyTable
from mmdet_lcp.pruning.targets import stopwatches
from mmdet_lcp.pruning.targets.cost_model import first_channels
from mmdet_lcp.pruning.targets.latency_model import Latency, anchor_counts, write_latency_kit
from mmdet_lcp.pruning.targets.planner import TargetPlanner
from mmdet_lcp.pruning.targets.stopwatches import RuntimeStopwatch, Stopwatch, stopwatch_for
from mmdet_lcp.pruning.targets.target import Target


@pytest.fixture
def short(monkeypatch):
    """Runs of a millisecond: what is tested are not the figures."""
    monkeypatch.setattr(stopwatches, 'SECONDS', 0.001)
    monkeypatch.setattr(stopwatches, 'ROUNDS', 1)
    real = stopwatches.run_kit
    monkeypatch.setattr(
        stopwatches, 'run_kit', lambda kit, threads, *_: real(kit, threads, 1, 0.001)
    )


def test_which_one():
    assert type(stopwatch_for(Target(latency=0.5))) is Stopwatch
    assert type(stopwatch_for(Target(latency=0.5, runtime='torch'))) is Stopwatch
    found = stopwatch_for(Target(latency=0.5, runtime='onnxruntime', threads=3))
    assert (found.runtime, found.threads) == ('onnxruntime', 3)
    assert found.here(torch.device('cpu')) == on_device.device('onnxruntime', 3)
    assert f'3 threads, onnxruntime {onnxruntime.__version__}' in found.here(torch.device('cpu'))


def test_threads_of_torch_are_put_back():
    before = torch.get_num_threads()
    watch = Stopwatch(threads=before + 1)
    assert f'{before + 1} threads' in watch.here(torch.device('cpu'))
    assert torch.get_num_threads() == before


def test_grid_has_both_ends_and_few_points():
    watch = RuntimeStopwatch(runtime='onnxruntime')
    assert watch.grid(64, 320) == [64, 192, 320]
    assert watch.grid(13, 64) == [13, 32, 64]  # 38.5 is between blocks of 16
    assert watch.grid(3, 3) == [3]
    assert watch.grid(4, 8) == [4, 8]


def test_pairs_are_measured(net, short, monkeypatch):
    """Whole networks, really run; the first one of several pairs is written once."""
    written = []
    monkeypatch.setattr(
        stopwatches, 'whole_bench', lambda *a: written.append(a[0]) or whole_bench(*a)
    )
    watch = RuntimeStopwatch(runtime='onnxruntime', threads=1)
    other = first_channels(net.detector, net.groups, [1, 1])
    for _ in range(2):
        first, second = watch.pair(net.detector, other, net.size)
        assert 0 < first < 1000 and 0 < second < 1000
    assert written == [net.detector, other, other]


def test_a_target_in_onnx_runtime(net, tmp_path, short, monkeypatch):
    """Files are written and run; their times are made even, so that a target can be reached."""
    real = stopwatches.run_kit

    def even(kit, threads, *more):
        times = real(kit, threads, *more)
        whole = iter((2.0, 1.0))
        for entry in times['entries']:
            if 'counts' in entry:
                entry['ms'] = next(whole)
            else:
                entry['ms'] = 1e-3 * entry.get('ins', 0) * entry.get('outs', 0) + 1e-6
        return times

    monkeypatch.setattr(stopwatches, 'run_kit', even)
    told = []
    target = Target(latency=0.52, runtime='onnxruntime', threads=1)
    stages = net.stages(1, 1, target.max_ratio)
    planner = TargetPlanner(target, stages, net.detector, net.size, tmp_path, told.append)
    costs = [[0.1] * (stage.group.channels - stage.keep) for stage in stages]
    (allocation,) = planner.share_out(costs, priced=False)
    assert (allocation.measured, allocation.dense) == (0.5, 2.0)
    table = LatencyTable.read(tmp_path / 'latency_table.json')
    assert table.device == on_device.device('onnxruntime', 1)
    assert [anchor['measured'] for anchor in table.anchors] == [2.0, 1.0, 1.0]
    assert 'in onnxruntime' in told[0]


def test_what_is_exported_is_the_network(vgg, tmp_path):
    """The file that is timed computes what the detector's head gives."""
    bench = whole_bench(vgg.detector, vgg.size)
    images = torch.rand(bench.input)
    with torch.no_grad():
        expected = [t for part in vgg.detector(images, mode='tensor') for t in part]
    names = [f'out{number}' for number in range(len(expected))]
    write_onnx(bench.network, images, tmp_path / 'x.onnx', names, 17, {}, 'it')
    session = onnxruntime.InferenceSession(str(tmp_path / 'x.onnx'))
    for own, other in zip(session.run(None, {'images': images.numpy()}), expected, strict=True):
        np.testing.assert_allclose(own, other.numpy(), atol=1e-4)


class TestKitOfAnotherDevice:
    @pytest.fixture
    def times(self, net, tmp_path):
        """What a device tells of the network's kit."""
        kit = write_latency_kit(
            tmp_path / 'kit', net.detector, net.groups, [1, 1], net.size,
            RuntimeStopwatch(runtime='onnxruntime'), print,
        )  # fmt: skip
        found = on_device.measure(kit, 1, rounds=1, seconds=0.001)
        return {**found, 'device': 'a telephone'}

    def latency(self, case, tmp_path, times, **options) -> Latency:
        path = tmp_path / 'times.json'
        path.write_text(json.dumps(times))
        return Latency(
            case.detector, case.groups, [1] * len(case.groups), case.size,
            tmp_path / 'cache.json', path, RuntimeStopwatch(runtime='onnxruntime'),
            lambda line: None, **options,
        )  # fmt: skip

    def test_is_enough(self, net, tmp_path, times, monkeypatch):
        """Nothing is measured here, and no engine is needed."""
        monkeypatch.setitem(sys.modules, 'onnxruntime', None)
        latency = self.latency(net, tmp_path, times, any_device=True)
        assert not latency.measurable
        whole = [entry for entry in times['entries'] if 'counts' in entry]
        dense = [group.channels for group in net.groups]
        assert [entry['counts'] for entry in whole] == anchor_counts(dense, [1, 1])
        assert latency.dense_ms == whole[0]['ms']
        assert latency.model.total([1, 1]) > 0

    def test_is_refused_unless_told_to(self, net, tmp_path, times):
        with pytest.raises(CompressionError, match=r'\(a telephone\) than this one \(.*onnxrunt'):
            self.latency(net, tmp_path, times)

    def test_of_other_layers(self, vgg, net, tmp_path, times):
        with pytest.raises(CompressionError, match=r'times\.json: lacks \d+ layers'):
            self.latency(vgg, tmp_path, times, any_device=True)

    def test_without_whole_detectors(self, net, tmp_path, times):
        """What could not be written for that runtime: the layers' times alone, and it is said."""
        layers = [entry for entry in times['entries'] if 'counts' not in entry]
        latency = self.latency(net, tmp_path, {**times, 'entries': layers}, any_device=True)
        assert latency.dense_ms == latency.model.total([g.channels for g in net.groups]) > 0

    def test_of_another_kit(self, net, tmp_path, times):
        with pytest.raises(CompressionError, match='mmdet-lcp latency-kit'):
            self.latency(net, tmp_path, {**times, 'what': 'steps'}, any_device=True)


def test_a_detector_that_cannot_be_exported_has_the_layers_alone(
    net, tmp_path, short, monkeypatch
):
    def refused(*_):
        raise CompressionError('it has no operator of that kind')

    monkeypatch.setattr(stopwatches, 'whole_bench', refused)
    told = []
    for _ in range(2):  # the second time from the table
        latency = Latency(
            net.detector, net.groups, [1, 1], net.size, tmp_path / 'latency_table.json', None,
            RuntimeStopwatch(runtime='onnxruntime', threads=1), told.append,
        )  # fmt: skip
        assert not latency.measurable
        assert latency.dense_ms == latency.model.total([g.channels for g in net.groups]) > 0
    assert any(
        'predicted from the layers alone' in line and 'no operator' in line for line in told
    )


@pytest.mark.parametrize(
    ('runtime', 'extra'), [('openvino', 'openvino'), ('ncnn', 'ncnn'), ('onnxruntime', 'export')]
)
def test_a_runtime_that_is_not_installed_names_its_extra(
    net, tmp_path, monkeypatch, runtime, extra
):
    monkeypatch.setitem(sys.modules, runtime, None)
    target = Target(latency=0.5, runtime=runtime)
    with pytest.raises(CompressionError, match=rf'mmdet_lcp\[{extra}\]'):
        TargetPlanner(target, net.stages(), net.detector, net.size, tmp_path, print)
