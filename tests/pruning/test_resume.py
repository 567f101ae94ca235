import json
import random
import re
import shutil
import time
from pathlib import Path

import pytest
import torch
from html_pages import Page
from processes import Script
from runs import TRAIN, TWO_GROUPS

from mmdet_lcp import CompressionError
from mmdet_lcp.report.report import read_report
from mmdet_lcp.report.run_page import write_run_page

# What has to survive a kill besides the weights: momentum, averaged weights, a schedule.
HOOKS = [
    dict(type='mmdet_lcp.DropDegenerateBoxesHook'),
    dict(type='EMAHook', momentum=0.2),
]
STATEFUL = f"""
custom_hooks = {HOOKS}
pruning.update(
    finetune=dict(max_epochs=2, max_iters=None, lr=0.001, param_scheduler=[
        dict(type='CosineAnnealingLR', convert_to_iter_based=True)]),
    evaluate=(),
)
"""


class Killed:
    """A run that is killed again and again.

    Args:
        config: its config.
        work_dir: where it works.
        prints: folder for what the processes print.
    """

    def __init__(self, config: Path, work_dir: Path, prints: Path) -> None:
        self.config, self.work_dir, self.prints = config, work_dir, prints
        self.started = 0

    def start(self) -> Script:
        self.started += 1
        args = [self.config, '--work-dir', self.work_dir, '--resume']
        return Script(TRAIN, args, self.prints / str(self.started))

    def log(self) -> str:
        """The present process's log."""
        logs = sorted(self.work_dir.glob('2*/*.log'))
        return logs[-1].read_text() if len(logs) >= self.started else ''

    def says(self, pattern: str):
        return lambda: re.search(pattern, self.log()) is not None


@pytest.fixture(scope='module')
def config(write_config) -> Path:
    return write_config('resumed', TWO_GROUPS + STATEFUL)


@pytest.fixture(scope='module')
def whole(config, prune):
    """The run that nobody disturbs."""
    return prune(config)


@pytest.fixture(scope='module')
def killed(config, tmp_path_factory):
    """The same run, killed at several moments; keeps a copy of the state after each."""
    folder = tmp_path_factory.mktemp('killed')
    run = Killed(config, folder / 'out', folder / 'prints')
    state = run.work_dir / 'pruning_state'
    moments = {
        # one epoch of fine-tuning is written down, the next is under way
        'finetune': (state / 'progress.pth').exists,
        # the last iteration of the fine-tuning is over, the selection not
        'selection': run.says(r'\(train\) \[2\]\[3/3\]|inside the phase, after epoch 2'),
        # the selection is over; the stage may be written down or not
        'stage': run.says(r'stage4.0.conv: selected in|Resumed after 1'),
        'next stage': run.says(r'\(train\) \[[34]\]\[2/3\]'),
        # the last stage is written down, the settled statistics may be or not
        'statistics': run.says('Statistics of the batch norms'),
        'retraining': run.says(r'\(train\) \[[5678]\]\[1/3\]'),
        'delivery': (run.work_dir / 'plan.json').exists,
    }
    for name, moment in moments.items():
        process = run.start()
        process.kill_when(moment)
        assert not (run.work_dir / 'report.json').exists(), f'killed too late: {name}'
        shutil.copytree(run.work_dir, folder / name)
    run.start().check()
    run.folder = folder
    return run


def assert_same_result(one: Path, other: Path) -> None:
    plans = [(folder / 'plan.json').read_bytes() for folder in (one, other)]
    assert plans[0] == plans[1]
    first, second = (
        torch.load(folder / 'pruned.pth', weights_only=True)['state_dict']
        for folder in (one, other)
    )
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


def test_killed_at_many_moments(whole, killed):
    assert_same_result(whole.work_dir, killed.work_dir)


def test_report_of_a_killed_run_is_whole(whole, killed):
    one, other = (read_report(run.work_dir / 'report.json') for run in (whole, killed))
    assert one.steps == other.steps
    assert one.dense.metrics == other.dense.metrics
    assert [group.name for group in one.groups] == [group.name for group in other.groups]
    # the command that repeats it begins anew
    assert 'train.py' in other.command and '--resume' not in other.command


def test_the_page_of_a_killed_run_shows_what_there_is(killed):
    page = Page(write_run_page(killed.folder / 'next stage'))
    assert '1 of 2 stages are done' in page.text and 'backbone.stage4.0.conv' in page.text
    assert 'stage4.1.conv' not in page.text.partition('left alone')[0]


def test_killed_at_a_random_time(config, killed, whole, tmp_path):
    seconds = random.uniform(0.5, 5)
    run = Killed(config, tmp_path / 'out', tmp_path / 'prints')
    process = run.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.process.is_alive():
        time.sleep(0.01)
    process.process.kill()
    process.wait()
    run.start().check()
    print(f'killed after {seconds} s')
    assert_same_result(whole.work_dir, run.work_dir)


def snapshot(folder: Path) -> dict:
    """Content of everything but the logs, and the copy of the config, that every start writes."""
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
        and path.name != 'resumed.py'
        and not path.relative_to(folder).parts[0].startswith('2')
    }


def test_resuming_a_finished_run_shows_its_summary(config, killed, build, capfd):
    before = snapshot(killed.work_dir)
    runner = build(config, work_dir=str(killed.work_dir), resume=True)
    detector = runner.train()
    shown = capfd.readouterr()
    assert 'This run has ended before' in shown.out + shown.err
    assert 'coco/bbox_mAP_50' in shown.out + shown.err
    assert snapshot(killed.work_dir) == before
    weights = torch.load(killed.work_dir / 'pruned.pth', weights_only=True)['state_dict']
    for key, value in detector.state_dict().items():
        assert torch.equal(value, weights[key]), key


class TestStateOfAnotherRun:
    def test_begun_anew_in_the_same_folder(self, config, killed, build):
        before = snapshot(killed.work_dir)
        with pytest.raises(CompressionError, match=r'state of another run.*--resume'):
            build(config, work_dir=str(killed.work_dir)).train()
        assert snapshot(killed.work_dir) == before

    def test_the_dense_detector_can_still_be_tested_with_the_same_config(
        self, config, killed, build
    ):
        """mmdet's tools/test.py builds the same runner, in the same work_dir."""
        before = snapshot(killed.work_dir)
        metrics = build(config, work_dir=str(killed.work_dir)).test()
        dense = json.loads((killed.work_dir / 'report.json').read_text())['dense']['metrics']
        assert metrics == pytest.approx(dense)
        assert snapshot(killed.work_dir) == before

    @pytest.mark.parametrize(
        'key, change',
        [
            ('pruning.ratio', {'pruning.ratio': 0.25}),
            ('optim_wrapper.optimizer.momentum', {'optim_wrapper.optimizer.momentum': 0.5}),
            ('train_dataloader.batch_size', {'train_dataloader.batch_size': 3}),
            ('model.test_cfg.nms_pre', {'model.test_cfg.nms_pre': 5}),
            (
                'custom_hooks[1].momentum',
                {'custom_hooks': [HOOKS[0], {**HOOKS[1], 'momentum': 0.1}]},
            ),
            ('auto_scale_lr', {'auto_scale_lr': dict(enable=True, base_batch_size=2)}),
        ],
    )
    def test_changed_key_is_named(self, config, killed, build, key, change):
        before = snapshot(killed.folder / 'stage')
        work_dir = str(killed.folder / 'stage')
        with pytest.raises(CompressionError, match=rf'another run:\n  {re.escape(key)}: .* now\n'):
            build(config, work_dir=work_dir, resume=True, **change).train()
        assert snapshot(killed.folder / 'stage') == before

    def test_workers_and_logging_may_change(self, config, killed, build):
        changes = {'train_dataloader.num_workers': 1, 'default_hooks.logger.interval': 7}
        work_dir = str(killed.folder / 'delivery')
        runner = build(config, work_dir=work_dir, resume=True, **changes)
        runner.prepare()
        assert (
            runner.progress.stages_done == 3
        )  # both groups, and what comes before the retraining

    def test_the_seed_is_that_of_the_run(self, config, killed, build):
        work_dir = str(killed.folder / 'next stage')
        runner = build(config, work_dir=work_dir, resume=True, randomness=dict(seed=None))
        assert runner.seed == 0
        with pytest.raises(CompressionError, match='seed'):
            build(config, work_dir=work_dir, resume=True, randomness=dict(seed=5))


class TestDamagedState:
    """What a full disk or a copy that broke off leaves behind."""

    @pytest.fixture
    def work_dir(self, killed, tmp_path) -> Path:
        return Path(shutil.copytree(killed.folder / 'next stage', tmp_path / 'out'))

    def resume(self, build, config, work_dir):
        return build(config, work_dir=str(work_dir), resume=True).train()

    @pytest.mark.parametrize(
        'name, advice',
        [
            ('progress.pth', 'Delete .*progress.pth.* last completed stage'),
            ('stage.pth', 'Delete .*pruning_state.* anew'),
            ('dense.pth', 'Delete .*pruning_state.* anew'),
            ('run.json', 'Delete .*pruning_state.* anew'),
        ],
    )
    def test_truncated(self, build, config, work_dir, killed, name, advice, plain_output):
        source = 'finetune' if name == 'progress.pth' else 'next stage'
        shutil.copytree(killed.folder / source, work_dir, dirs_exist_ok=True)
        path = work_dir / 'pruning_state' / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(CompressionError) as caught:
            self.resume(build, config, work_dir)
        assert str(path) in str(caught.value)
        assert re.search(advice, str(caught.value)), caught.value

    def test_deleted_progress_goes_back_to_the_stage_before(
        self, build, config, work_dir, whole, plain_output
    ):
        (work_dir / 'pruning_state' / 'progress.pth').unlink(missing_ok=True)
        self.resume(build, config, work_dir)
        assert_same_result(whole.work_dir, work_dir)
