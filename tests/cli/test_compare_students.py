"""tools/compare_students.py on tiny data: what is run and written, and how it fails."""

import json
import re
from pathlib import Path

import pytest
import tiny
import torch
from comparisons import ROOT, Forked, load_tool, not_started, table_rows
from mmdet.registry import MODELS
from mmengine.config import Config

SHORT = """
train_cfg = dict(max_epochs=1)
param_scheduler = None
"""
MIMIC = """
_base_ = [{plain!r}, {fragment!r}]
mimic = dict(teacher=dict(config={plain!r}, checkpoint={checkpoint!r}))
"""

tool = load_tool('compare_students')


@pytest.fixture(scope='module')
def configs(tmp_path_factory) -> list[Path]:
    """A detector by itself, and with a teacher."""
    folder = tmp_path_factory.mktemp('students')
    pruning = tiny.make_config(folder, tiny.make_data(folder / 'digits')).read_text()
    text = re.sub(r'.*_base_/pruning/.*\n', '', pruning.split('\npruning = dict(')[0])
    alone = folder / 'alone.py'
    alone.write_text(re.sub(r'\nload_from = .*', '', text) + SHORT)
    taught = folder / 'taught.py'
    fragment = str(ROOT / 'configs' / '_base_' / 'distill' / 'mimic.py')
    checkpoint = str(folder / 'dense.pth')
    taught.write_text(MIMIC.format(plain=str(alone), fragment=fragment, checkpoint=checkpoint))
    return [alone, taught]


@pytest.fixture(scope='module')
def options(configs) -> list[str]:
    out = configs[0].with_name('out')
    return f'{configs[0]} {configs[1]} --seeds 0 1 --jobs 2 --out {out}'.split()


@pytest.fixture(scope='module')
def out(configs, options) -> Path:
    assert tool.main(options, Forked) == 0
    return configs[0].with_name('out')


def test_a_row_a_run(out, configs):
    rows = table_rows(out)
    assert [(row['method'], row['seed']) for row in rows] == [
        (name, seed) for name in ('alone', 'taught') for seed in '01'
    ]
    detector = MODELS.build(Config.fromfile(configs[0]).model)
    count = sum(p.numel() for p in detector.parameters())
    for row in rows:
        assert row['state'] == 'finished' and row['iterations'] == '1 epochs'
        assert int(row['params']) == count  # nothing of the teacher, nor of its transforms
        assert 0 <= float(row['final coco/bbox_mAP']) <= 1
    text = (out / 'table.md').read_text()
    assert '| alone' in text
    for word in ('ratio', 'selection', 'before retraining'):  # nothing is pruned here
        assert word not in text


def test_runs_are_what_they_should_be(out):
    weights = {}
    for name in ('alone', 'taught'):
        for seed in (0, 1):
            run = out / 'cells' / f'{name}_rconfig_s{seed}' / 'run'
            (log,) = run.glob('2*/*.log')
            assert ('loss_mimic' in log.read_text()) == (name == 'taught')
            assert (run / 'student.pth').exists() == (name == 'taught')
            saved = torch.load(run / 'epoch_1.pth', weights_only=False)['state_dict']
            weights[name, seed] = saved['backbone.stage1.0.conv.weight']
            result = json.loads((run / 'control.json').read_text())
            assert result['seconds'] > 0
    assert not torch.equal(weights['alone', 0], weights['alone', 1])
    assert not torch.equal(weights['alone', 0], weights['taught', 0])


def test_again_runs_nothing(out, options):
    before = (out / 'table.csv').read_bytes()
    assert tool.main(options, not_started) == 0
    assert (out / 'table.csv').read_bytes() == before


def test_dry_run(out, options, capsys):
    assert tool.main([*options, '--dry-run'], not_started) == 0
    assert capsys.readouterr().out.count('exists') == 4


class TestBadInput:
    def fails(self, capsys, words, *args) -> None:
        assert tool.main([*map(str, args), '--out', 'nowhere_at_all'], not_started) == 1
        assert words in capsys.readouterr().err
        assert not Path('nowhere_at_all').exists()

    def test_missing_config(self, capsys):
        self.fails(capsys, 'nowhere.py: there is no such config', 'nowhere.py')

    def test_twice(self, capsys, configs):
        self.fails(capsys, 'configs: one is named twice: alone, alone', configs[0], configs[0])

    def test_seed(self, capsys, configs):
        assert tool.main([str(configs[0]), '--seeds', '3', '3', '--out', 'x'], not_started) == 1
        assert '--seeds: one is named twice: 3, 3' in capsys.readouterr().err

    def test_pruning_config(self, capsys, configs):
        self.fails(capsys, 'mmdet-lcp compare compares pruning', configs[0].with_name('tiny.py'))

    def test_missing_teacher(self, capsys, configs, tmp_path):
        path = tmp_path / 'orphan.py'
        path.write_text(
            f'_base_ = {str(configs[1])!r}\n' + "mimic=dict(teacher=dict(checkpoint='no.pth'))"
        )
        self.fails(capsys, "mimic.teacher.checkpoint='no.pth': there is no such file", path)
