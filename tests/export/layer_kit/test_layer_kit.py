"""Kits of two layers, written and run; what a run tells, turned into times of layers by hand."""

import gzip
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.layer_kit import Entry, KitWriter, bench_of, bracket_of, run_kit
from mmdet_lcp.export.layer_kit.run import layer_ms, read_times
from mmdet_lcp.measure import on_device
from mmdet_lcp.measure.latency_table import LayerShape


def shape_of(layer: nn.Module, *size: int, activation: str | None = None) -> LayerShape:
    channels = getattr(layer, 'in_channels', None) or layer.in_features
    found = LayerShape.of(layer, torch.zeros(1, channels, *size) if size[1:] else size_of(layer))
    return found.with_activation(activation)


def size_of(layer: nn.Linear) -> torch.Tensor:
    return torch.zeros(7, layer.in_features)


class TestNetworks:
    def test_a_layer_stands_between_two_of_one_position(self):
        layer = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        bench = bench_of(shape_of(layer, 12, 10, activation='silu'), 12, 20)
        kinds = [type(module).__name__ for module in bench.network]
        assert kinds == ['Conv2d', 'Conv2d', 'SiLU', 'Conv2d']
        widths = [(m.in_channels, m.out_channels) for m in bench.network if hasattr(m, 'weight')]
        assert widths == [(8, 12), (12, 20), (20, 8)]
        assert bench.input == (1, 8, 12, 10)
        assert bench.brackets == ((12, 12, 10), (20, 6, 5))
        assert bench.network(torch.zeros(bench.input)).shape == (1, 8, 6, 5)

    def test_a_cheap_one_that_keeps_its_shape_runs_several_times(self):
        layer = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        bench = bench_of(shape_of(layer, 9, 9, activation='relu'), 1, 12)
        depthwise = [m for m in bench.network if getattr(m, 'groups', 1) > 1]
        assert [m.groups for m in depthwise] == [12] * bench.repeats and bench.repeats > 1
        dear = nn.Conv2d(512, 512, 3, padding=1)
        assert bench_of(shape_of(dear, 38, 38), 512, 512).repeats == 1

    def test_a_linear_layer(self):
        bench = bench_of(shape_of(nn.Linear(6, 4), 7), 5, 3)
        assert bench.input == (1, 1, 7, 5)
        assert bench.network(torch.zeros(bench.input)).shape == (7, 3)

    def test_weights_differ_and_pack_well(self):
        network = bracket_of(512, 4, 4).network
        weight = network[0].weight.detach().numpy()
        assert len(np.unique(weight)) > 200
        assert len(gzip.compress(weight.tobytes())) < weight.nbytes / 8


@pytest.fixture
def kit(tmp_path):
    """A convolution and a linear layer for ONNX Runtime."""
    writer = KitWriter(tmp_path / 'kit', 'onnxruntime')
    conv = nn.Conv2d(8, 8, 3, padding=1)
    for ins in (4, 8):
        shape = shape_of(conv, 6, 6, activation='relu')
        writer.add_layer(bench_of(shape, ins, 8), {'layer': 'conv', 'channels': ins})
    writer.add_layer(bench_of(shape_of(nn.Linear(6, 4), 7), 6, 4), {'layer': 'linear'})
    return writer.close(what='test')


class TestKit:
    def test_what_is_in_it(self, kit):
        manifest = json.loads((kit / 'manifest.json').read_text())
        assert manifest['runtime'] == 'onnxruntime' and manifest['what'] == 'test'
        named = {file for entry in manifest['entries'] for file in entry['files']}
        assert {path.name for path in kit.iterdir()} == named | {'manifest.json', 'measure.py'}
        # two widths, and what stands around them: 4 and 8 channels on 6x6, once each
        layers = [entry for entry in manifest['entries'] if 'layer' in entry]
        assert len(manifest['entries']) == len(layers) + 2 == 5
        first = layers[0]
        model = onnx.load_from_string(gzip.decompress((kit / first['files'][0]).read_bytes()))
        kinds = [node.op_type for node in model.graph.node if node.op_type != 'Identity']
        assert kinds == ['Conv', 'Conv', 'Relu', 'Conv']

    def test_runs_without_the_package(self, kit, tmp_path):
        """With NumPy and the engine: nothing of torch, mmdet or the package is imported."""
        code = (
            'import runpy, sys; sys.argv = ["measure.py", sys.argv[1], "--rounds", "1", '
            '"--seconds", "0.001", "--threads", "1"]\n'
            'try: runpy.run_path(sys.argv[1] + "/measure.py", run_name="__main__")\n'
            'except SystemExit as end: assert not end.code, end.code\n'
            'assert not {"torch", "mmdet", "mmdet_lcp", "onnx"} & set(sys.modules)'
        )
        command = [sys.executable, '-S', '-c', f'import site; site.main()\n{code}', str(kit)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-800:]
        found = read_times(kit / 'times.json')
        assert found['runtime'] == 'onnxruntime' and found['threads'] == 1
        assert found['engine_version'] in found['device'] and found['processor'] in found['device']
        assert all(entry['ms'] > 0 for entry in found['entries'])

    def test_the_larger_layer_takes_longer(self, tmp_path):
        writer = KitWriter(tmp_path / 'kit', 'onnxruntime')
        shape = shape_of(nn.Conv2d(64, 64, 3, padding=1), 20, 20)
        for ins in (8, 64):
            writer.add_layer(bench_of(shape, ins, 64), {'layer': 'conv', 'ins': ins})
        times = run_kit(writer.close(), 1, rounds=2, seconds=0.01)
        ms = layer_ms(times)
        few, many = (ms[entry['name']] for entry in times['entries'] if 'layer' in entry)
        assert many > 2 * few > 0

    def test_torch(self, tmp_path):
        writer = KitWriter(tmp_path / 'kit', 'torch')
        writer.add(Entry(bracket_of(16, 5, 5)))
        times = on_device.measure(writer.close(), torch.get_num_threads(), 1, 0.001)
        # a build for CUDA has '+cu130' in one of the two
        assert torch.__version__.startswith(times['engine_version'])


def test_what_stands_around_a_layer_is_taken_off():
    """Half of each bracket, divided by how often the layer runs; by hand."""
    entries = [
        dict(name='a', ms=2.0, repeats=1),
        dict(name='b', ms=4.0, repeats=1),
        dict(name='c', ms=11.0, repeats=4, brackets=['a', 'b']),
        dict(name='d', ms=3.0, repeats=1, brackets=['b', 'b']),  # noise: less than its brackets
        dict(name='e', ms=7.0, repeats=1, brackets=[]),
    ]
    found = layer_ms({'entries': entries})
    assert found == pytest.approx({'c': 2.0, 'd': 0.05 * 3.0, 'e': 7.0})


class TestBad:
    def test_runtime(self, tmp_path):
        with pytest.raises(CompressionError, match=r"'onnxruntme'.*nearest is 'onnxruntime'"):
            KitWriter(tmp_path, 'onnxruntme')

    @pytest.mark.parametrize(('runtime', 'extra'), [('ncnn', 'ncnn'), ('litert', 'litert')])
    def test_a_converter_that_is_not_installed_names_its_extra(
        self, tmp_path, monkeypatch, runtime, extra
    ):
        for name in ('ncnn', 'pnnx', 'litert_torch'):
            monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(CompressionError, match=rf'mmdet_lcp\[{extra}\]'):
            KitWriter(tmp_path, runtime)

    def test_an_engine_that_is_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'openvino', None)
        with pytest.raises(on_device.KitError, match='pip install openvino'):
            on_device.engine('openvino')

    def test_no_kit(self, tmp_path):
        with pytest.raises(on_device.KitError, match='is no layer kit'):
            on_device.measure(tmp_path, 1)

    def test_a_kit_of_another_version(self, kit):
        manifest = json.loads((kit / 'manifest.json').read_text())
        (kit / 'manifest.json').write_text(json.dumps({**manifest, 'version': 9}))
        with pytest.raises(on_device.KitError, match='version 9'):
            on_device.measure(kit, 1)
        (kit / 'measure.py').write_text((kit / 'measure.py').read_text())
        with pytest.raises(CompressionError, match='version 9'):
            run_kit(kit, 1)

    @pytest.mark.parametrize('text', ['{', '{}', '{"version": 1, "entries": []}'])
    def test_no_times(self, tmp_path, text):
        (tmp_path / 'times.json').write_text(text)
        with pytest.raises(CompressionError, match='holds no times of a layer kit'):
            read_times(tmp_path / 'times.json')


def test_processor(monkeypatch):
    """Model, architecture and the widest vector units, from what Linux tells."""
    from pathlib import Path

    text = 'processor : 0\nmodel name : Chip 9\nflags : sse avx avx2 fma\n'
    monkeypatch.setattr(Path, 'read_text', lambda *_, **__: text)
    monkeypatch.setattr('platform.machine', lambda: 'x86_64')
    assert on_device.processor() == 'Chip 9 (x86_64 AVX2)'
    text = 'processor : 0\nFeatures : fp asimd crc32\nCPU part : 0xd08\n'

    def read(path, **_):
        return text if path.name == 'cpuinfo' else 'Board Model B\0'

    monkeypatch.setattr(Path, 'read_text', read)
    monkeypatch.setattr('platform.machine', lambda: 'aarch64')
    assert on_device.processor() == 'Board Model B (aarch64 NEON)'
