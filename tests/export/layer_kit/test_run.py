"""Kits run, with the package and without; what a run tells, turned into times of layers."""

import json
import subprocess
import sys

import pytest
import torch
from layer_shapes import shape_of
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.layer_kit import Entry, KitWriter, bench_of, bracket_of, run_kit
from mmdet_lcp.export.layer_kit.run import layer_ms, read_times
from mmdet_lcp.measure import on_device


def test_runs_without_the_package(kit, tmp_path):
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


def test_the_larger_layer_takes_longer(tmp_path):
    writer = KitWriter(tmp_path / 'kit', 'onnxruntime')
    shape = shape_of(nn.Conv2d(64, 64, 3, padding=1), 20, 20)
    for ins in (8, 64):
        writer.add_layer(bench_of(shape, ins, 64), {'layer': 'conv', 'ins': ins})
    times = run_kit(writer.close(), 1, rounds=2, seconds=0.01)
    ms = layer_ms(times)
    few, many = (ms[entry['name']] for entry in times['entries'] if 'layer' in entry)
    assert many > 2 * few > 0


def test_torch(tmp_path):
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


def test_no_kit(tmp_path):
    with pytest.raises(on_device.KitError, match='is no layer kit'):
        on_device.measure(tmp_path, 1)


def test_a_kit_of_another_version(kit):
    manifest = json.loads((kit / 'manifest.json').read_text())
    (kit / 'manifest.json').write_text(json.dumps({**manifest, 'version': 9}))
    with pytest.raises(on_device.KitError, match='version 9'):
        on_device.measure(kit, 1)
    (kit / 'measure.py').write_text((kit / 'measure.py').read_text())
    with pytest.raises(CompressionError, match='version 9'):
        run_kit(kit, 1)


@pytest.mark.parametrize('text', ['{', '{}', '{"version": 1, "entries": []}'])
def test_no_times(tmp_path, text):
    (tmp_path / 'times.json').write_text(text)
    with pytest.raises(CompressionError, match='holds no times of a layer kit'):
        read_times(tmp_path / 'times.json')
