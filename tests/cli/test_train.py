"""tools/train.py from the command line: what is done, and how it fails."""

import json
import re
from pathlib import Path

import pytest
import tiny
from mmengine.config import Config
from processes import Script

from mmdet_lcp.cli.train import load_config, parse_args

ROOT = Path(__file__).parents[2]
SHORT = r"""
pruning.update(
    layers=r'stage4\.1\.conv',
    selection=dict(num_images=2),
    finetune=dict(max_epochs=None, max_iters=1, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=0),
)
test_dataloader, test_cfg, test_evaluator = None, None, None
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('train')
    return tiny.make_config(folder, tiny.make_data(folder / 'digits'), 'tiny', SHORT)


@pytest.fixture
def train(tmp_path):
    def run(*args) -> Script:
        return Script(ROOT / 'tools' / 'train.py', list(args), tmp_path / 'prints')

    return run


@pytest.fixture
def fails(train):
    """Run, and return the message that is all it should print as an error."""

    def run(*args) -> str:
        script = train(*args)
        assert script.wait() not in (0, None)
        assert 'Traceback' not in script.err + script.out
        assert script.err.count('error: ') == 1
        return script.err[script.err.index('error: ') :]

    return run


def test_options_reach_the_run(train, config, tmp_path):
    work_dir = tmp_path / 'out'
    options = ['--cfg-options', 'pruning.ratio=0.75']
    train(config, '--work-dir', work_dir, '--seed', 7, *options).check()
    report = json.loads((work_dir / 'report.json').read_text())
    assert report['seed'] == 7
    assert [group['kept'] for group in report['groups']] == [16]
    for part in ('tools/train.py', str(config), '--seed 7', 'pruning.ratio=0.75'):
        assert part in report['command']


def test_trains_a_plain_config(train, config, tmp_path):
    """Without `runner_type` it trains as mmdet's own tool does; --resume goes on."""
    text = config.read_text().split('\npruning = dict(')[0]
    plain = config.with_name('plain.py')
    plain.write_text(
        re.sub(r".*_base_/pruning/lcp.py',\n", '', text)
        + '\ntrain_cfg = dict(max_epochs=1, val_interval=5)\n'
    )
    work_dir = tmp_path / 'out'
    script = train(plain, '--work-dir', work_dir, '--resume').check()  # nothing to resume yet
    assert f'Load checkpoint from {Config.fromfile(plain).load_from}' in script.out + script.err
    assert (work_dir / 'epoch_1.pth').is_file()
    options = ['--cfg-options', 'train_cfg.max_epochs=2']
    script = train(plain, '--work-dir', work_dir, '--resume', *options).check()
    assert (work_dir / 'epoch_2.pth').is_file()
    assert 'resumed epoch: 1' in script.out + script.err


def test_configs_that_inherit_a_handed_out_one_work_in_folders_of_their_own(tmp_path):
    handed_out, child = tmp_path / 'pruned_config.py', tmp_path / 'sub' / 'again.py'
    handed_out.write_text(f'work_dir = {str(tmp_path / "retrained")!r}')
    child.parent.mkdir()
    child.write_text("_base_ = '../pruned_config.py'")

    def folder(*args) -> str:
        return load_config(parse_args([str(arg) for arg in args])).work_dir

    assert folder(handed_out) == str(tmp_path / 'retrained')
    assert folder(child) == 'work_dirs/again'
    assert folder(child, '--work-dir', 'mine') == 'mine'
    told = str(tmp_path / 'retrained')
    assert folder(child, '--cfg-options', f'work_dir={told}') == told


class TestErrors:
    def test_config_that_does_not_exist(self, fails):
        assert 'nowhere.py: there is no such config' in fails('nowhere.py')

    def test_no_checkpoint(self, fails, config):
        message = fails(config, '--cfg-options', 'load_from=None')
        assert 'set `load_from` to its checkpoint' in message

    def test_ratio(self, fails, config, tmp_path):
        work_dir = tmp_path / 'out'
        message = fails(config, '--work-dir', work_dir, '--cfg-options', 'pruning.ratio=1.2')
        assert 'pruning.ratio=1.2' in message
        assert not work_dir.exists()

    def test_another_architecture(self, fails, config, tmp_path):
        options = ['--cfg-options', 'model.bbox_head.num_classes=3']
        message = fails(config, '--work-dir', tmp_path / 'out', *options)
        assert 'another architecture' in message

    def test_empty_training_set(self, fails, config, tmp_path):
        path = tmp_path / 'empty.json'
        path.write_text(json.dumps(dict(images=[], annotations=[], categories=[])))
        options = ['--cfg-options', f'train_dataloader.dataset.ann_file={path}']
        message = fails(config, '--work-dir', tmp_path / 'out', *options)
        assert 'has no images' in message

    def test_mixed_precision_without_a_gpu(self, fails, config):
        assert '--amp needs a GPU' in fails(config, '--amp')

    def test_config_that_cannot_be_read(self, fails, tmp_path):
        path = tmp_path / 'broken.py'
        path.write_text('model = dict(\n')
        assert 'broken.py' in fails(path)
        path.write_text("_base_ = 'nowhere.py'\n")
        assert 'nowhere.py' in fails(path)
