"""tools/sensitivity.py: killed and resumed, its ratios given to a run, its messages."""

import csv
import json
from pathlib import Path

import pytest
import tiny
from processes import Script

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'sensitivity.py'
EXTRA = r"""
pruning.update(
    layers=r'stage[34]\.[012]\.conv',
    attachment=None,
    criterion=dict(_delete_=True, type='mmdet_lcp.L1Norm'),
    selection=dict(num_images=2),
    finetune=dict(max_epochs=None, max_iters=0, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=0),
)
test_dataloader, test_cfg, test_evaluator = None, None, None
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('sensitivity')
    return tiny.make_config(folder, tiny.make_data(folder / 'digits'), 'tiny', EXTRA)


def args(config: Path, out: Path) -> list[str]:
    words = f'{config} {config.with_name("dense.pth")} --ratios 0.5 0.75 --images 2'
    return [*words.split(), '--target', 'macs=0.75', '--out', str(out)]


@pytest.fixture(scope='module')
def out(config) -> Path:
    """The folder of an analysis that was killed on the way, and then went on."""
    out = config.with_name('out')
    figures = out / 'sensitivity.json'

    def two_cells() -> bool:
        return figures.exists() and len(json.loads(figures.read_text())['cells']) >= 2

    Script(TOOL, args(config, out), config.with_name('1')).kill_when(two_cells)
    known = json.loads(figures.read_text())['cells']
    again = Script(TOOL, args(config, out), config.with_name('2')).check()
    assert f'{len(known)} cells have been measured before' in again.out + again.err
    assert json.loads(figures.read_text())['cells'][: len(known)] == known
    (out / 'printed.txt').write_text(again.out + again.err)
    return out


def test_all_cells_are_there(out):
    rows = list(csv.DictReader((out / 'sensitivity.csv').read_text().splitlines()))
    assert len(rows) == 6 * 2
    assert len({(row['group'], row['ratio']) for row in rows}) == 12
    assert (out / 'sensitivity.png').exists()


def test_what_is_printed(out):
    text = (out / 'printed.txt').read_text()
    for words in ('[12/12]', 'Most sensitive by loss: backbone.stage', 'Least sensitive by loss'):
        assert words in text
    assert 'Target: 0.750 of the multiply-accumulates' in text
    assert f'pruning.ratio={out / "ratios.json"}' in text


def test_by_map_on_the_validation_images(config):
    """Instead of the loss; ratios of the target follow from it."""
    folder, out = config.parent, config.with_name('by_map')
    own = tiny.make_config(
        folder, folder / 'digits', 'by_map_config', EXTRA.rpartition('test_d')[0]
    )
    words = f'{own} {config.with_name("dense.pth")} --ratios 0.75 --measure mAP'
    given = [*words.split(), '--target', 'macs=0.75', '--out', str(out)]
    Script(TOOL, given, config.with_name('4')).check()
    rows = list(csv.DictReader((out / 'sensitivity.csv').read_text().splitlines()))
    assert len(rows) == 6 and all(0 <= float(row['coco/bbox_mAP']) <= 1 for row in rows)
    assert 'loss' not in rows[0] and (out / 'ratios.json').exists()


def test_killed_or_not_is_the_same(config, out):
    whole = config.with_name('whole')
    Script(TOOL, args(config, whole), config.with_name('3')).check()
    cells = [
        [
            {**cell, 'seconds': 0}
            for cell in json.loads((f / 'sensitivity.json').read_text())['cells']
        ]
        for f in (out, whole)
    ]
    assert cells[0] == cells[1]
    assert (out / 'ratios.json').read_bytes() == (whole / 'ratios.json').read_bytes()


def test_its_ratios_prune(config, out):
    words = [config, '--work-dir', config.with_name('pruned')]
    words += ['--cfg-options', f'pruning.ratio={out / "ratios.json"}']
    Script(ROOT / 'tools' / 'train.py', words, config.with_name('4')).check()
    report = json.loads((config.with_name('pruned') / 'report.json').read_text())
    reached = report['compressed']['macs'] / report['dense']['macs']
    assert 0.74 < reached <= 0.75


def test_mistakes(config, tmp_path):
    """Each a line, no traceback; nothing is measured."""
    wrong = {
        "'mcas'; the nearest valid one is 'macs'": ['--target', 'mcas=0.5'],
        'macs=5': ['--target', 'macs=5'],
        'there is no such file': ['--cfg-options', 'load_from=nowhere.pth'],
        'matches no layer': ['--cfg-options', 'pruning.layers=stage9'],
    }
    for number, (message, options) in enumerate(wrong.items()):
        prints = tmp_path / str(number)
        started = [config, '--out', tmp_path / f'out{number}', *options]
        ended = Script(TOOL, started, prints)
        assert ended.wait() == 1
        assert 'error: ' in ended.err and message in ended.err
        assert 'Traceback' not in ended.err
        assert not (tmp_path / f'out{number}' / 'sensitivity.json').exists()
