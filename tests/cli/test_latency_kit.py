"""The command on a small detector: what lies in the kit, and what it says to wrong configs."""

import json
from pathlib import Path

import pytest

from mmdet_lcp.cli import latency_kit

LCP = Path(__file__).parents[2] / 'configs' / 'lcp'
CONFIG = str(LCP / 'ssd_narrow_vgg_prune_bccd_exact.py')
FEW = r'pruning.layers=backbone\.stage1\.'
TARGET = [
    'pruning.target.latency=0.97',
    'pruning.target.runtime=onnxruntime',
    'pruning.ratio=None',
]


def test_a_kit(tmp_path, capsys):
    words = [CONFIG, '--out', str(tmp_path / 'kit'), '--size', '96', '96']
    assert latency_kit.main([*words, '--cfg-options', FEW, *TARGET]) == 0, capsys.readouterr()
    manifest = json.loads((tmp_path / 'kit' / 'manifest.json').read_text())
    assert manifest['runtime'] == 'onnxruntime' and (tmp_path / 'kit' / 'measure.py').is_file()
    whole = [entry['counts'] for entry in manifest['entries'] if 'counts' in entry]
    assert whole[0] == [16, 16] and whole[2] < whole[1] < whole[0]  # dense, between, smallest
    first = [e for e in manifest['entries'] if e.get('layer', '').startswith('Conv2d 3->16 ')]
    # the image keeps its channels, the layer behind it loses some
    assert {entry['ins'] for entry in first} == {3}
    assert {whole[0][0], whole[2][0]} <= {entry['outs'] for entry in first}
    assert 'python measure.py' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['pruning.ratio=0.5', 'pruning.target=None'], 'asks for no latency'),
        (['pruning.target.macs=0.5', 'pruning.ratio=None'], 'asks for no latency'),
        (['pruning.target.latency=0.5', 'pruning.ratio=None'], 'names no runtime'),
    ],
)
def test_configs_without_what_it_needs(tmp_path, options, message, capsys):
    words = [CONFIG, '--out', str(tmp_path / 'kit'), '--cfg-options', *options]
    assert latency_kit.main(words) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'kit').exists()
