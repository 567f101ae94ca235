"""The command on a kit of a few layers, from its files to the table that a config reads."""

import json

import pytest

from mmdet_lcp.cli import measure_steps
from mmdet_lcp.export.layer_kit import steps
from mmdet_lcp.export.layer_kit.steps import Probe
from mmdet_lcp.measure import on_device
from mmdet_lcp.measure.step_table import StepTable


@pytest.fixture
def few(monkeypatch):
    """Three layers at four numbers of channels."""
    probes = [
        Probe('1x1', 'in_channels', 1, 1, 8, 6, 5, 8),
        Probe('depthwise', 'in_channels', 3, 2, 0, 6, 5, 8),
        Probe('grouped', 'in_channels', 3, 1, 0, 6, 5, 8),
    ]
    monkeypatch.setattr(steps, 'probes', lambda quick: iter(probes))


def test_a_kit_a_run_on_the_device_and_the_table(few, tmp_path, capsys):
    kit, out = tmp_path / 'kit', tmp_path / 'steps.json'
    assert measure_steps.main(['--runtime', 'onnxruntime', '--kit', str(kit)]) == 0
    times = on_device.measure(kit, 1, rounds=1, seconds=0.001)
    (kit / 'times.json').write_text(json.dumps(times))
    words = ['--times', str(kit / 'times.json'), '--out', str(out)]
    assert measure_steps.main(words) == 0
    table = StepTable.read(out)
    assert table.runtime == 'onnxruntime' and table.processor == on_device.processor()
    assert [(c.kind, c.channels) for c in table.curves] == [
        (kind, (5, 6, 7, 8)) for kind in ('1x1', 'depthwise', 'grouped')
    ]
    told = capsys.readouterr().out
    assert 'depth-wise' in told and f"step_table='{out}'" in told


def test_here_at_once(few, tmp_path):
    out = tmp_path / 'steps.json'
    assert measure_steps.main(['--runtime', 'onnxruntime', '--out', str(out)]) == 0
    assert [curve.kind for curve in StepTable.read(out).curves] == ['1x1', 'depthwise', 'grouped']


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ([], 'give --runtime, or --times'),
        (['--runtime', 'ncnn'], 'give --out'),
        (['--runtime', 'ncnn', '--kit', 'K', '--out', 'O'], 'leave --times and --out out'),
        (['--runtime', 'ncnn', '--out', 'O', '--threads', '0'], 'at least 1'),
        (['--runtime', 'tvm', '--out', 'O'], 'invalid choice'),
    ],
)
def test_bad_words(words, message, capsys):
    with pytest.raises(SystemExit):
        measure_steps.parse_args(words)
    assert message in capsys.readouterr().err


def test_times_of_another_kit(tmp_path, capsys):
    (tmp_path / 'times.json').write_text(
        '{"version": 1, "runtime": "ncnn", "engine_version": "1", "processor": "x", "threads": 1,'
        ' "device": "x", "date": "", "what": "layers", "entries": []}'
    )
    words = ['--times', str(tmp_path / 'times.json'), '--out', str(tmp_path / 'out.json')]
    assert measure_steps.main(words) == 1
    assert 'no times of a kit for steps' in capsys.readouterr().err
