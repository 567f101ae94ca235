"""A pruned detector is retrained with the dense one as its teacher, and nothing of it stays."""

import re
from pathlib import Path

import pytest
import torch
from mmdet.apis import init_detector
from mmengine.config import Config
from processes import Script
from runs import ROOT, TRAIN

from mmdet_lcp import CompressionError

# One group, no training before it; momentum, an average and a schedule have to survive a kill.
MIMIC = r"""
pruning.update(
    layers=r'stage4\.[12]\.conv',
    attachment=None,
    objective=dict(reconstruction=1.0, alpha=0.0),
    criterion=dict(type='mmdet_lcp.L1Norm'),
    selection=dict(num_images=4),
    finetune=dict(max_epochs=None, max_iters=0, param_scheduler=None),
    retrain=dict(max_epochs=4, lr=0.02, mimic=dict(weight=2.0)),
    evaluate=(),
)
custom_hooks = [
    dict(type='mmdet_lcp.DropDegenerateBoxesHook'),
    dict(type='EMAHook', momentum=0.2),
]
default_hooks.update(checkpoint=dict(interval=2))
"""


@pytest.fixture(scope='module')
def config(write_config) -> Path:
    return write_config('mimicked', MIMIC)


@pytest.fixture(scope='module')
def whole(config, prune):
    """The run that nobody disturbs."""
    return prune(config)


def log_of(work_dir: Path) -> str:
    return ''.join(path.read_text() for path in sorted(work_dir.glob('2*/*.log')))


class TestResult:
    def test_the_report_says_so(self, whole):
        report = whole.report
        assert report['method'] == 'L1Norm with mimic'
        assert report['settings']['teacher'] == 'the dense detector'
        assert report['settings']['mimic'] == 'weight 2, regions proposals'

    def test_the_dense_detector_teaches(self, whole):
        teacher = whole.runner.mimic.detector
        assert teacher is whole.runner.job.dense
        log = log_of(whole.work_dir)
        assert 'neck[1] (32, 8, 8) -> conv -> neck[1] (64, 8, 8)' in log
        assert "the fitted transforms leave of the teacher's variance: neck[0] (32, 16, 16)" in log
        lines = [line for line in log.splitlines() if 'Epoch(train)' in line]
        assert len(lines) == 12
        assert all('loss_mimic: ' in line for line in lines)

    def test_nothing_of_it_stays(self, whole):
        names = list(whole.detector.state_dict())
        assert list(whole.weights) == names
        assert not any('mimic' in name or name.startswith('detector.') for name in names)
        for path in whole.work_dir.glob('epoch_*.pth'):
            assert list(torch.load(path, weights_only=False)['state_dict']) == names
        text = (whole.work_dir / 'pruned_config.py').read_text()
        assert 'mimic=' not in text and 'MimicRunner' not in text

    def test_the_teacher_is_as_it_was(self, whole, config):
        expected = torch.load(Config.fromfile(config).load_from, weights_only=True)['state_dict']
        for key, value in whole.runner.job.dense.state_dict().items():
            assert torch.equal(value, expected[key]), key

    def test_it_makes_a_difference(self, whole, prune, config):
        other = prune(
            config,
            work_dir=str(whole.work_dir) + '_plain',
            **{
                'pruning.retrain.mimic': None,
            },
        )
        assert other.plan == whole.plan
        name = 'backbone.stage3.0.conv.weight'
        assert not torch.equal(other.weights[name], whole.weights[name])


def test_outputs_alone(prune, config, whole):
    """The dense detector's outputs on the images as they are drawn for the training."""
    changes = {'pruning.retrain.mimic.weight': 0.0, 'pruning.retrain.mimic.head_outputs': 1.0}
    other = prune(config, work_dir=str(whole.work_dir) + '_outputs', **changes)
    lines = [line for line in log_of(other.work_dir).splitlines() if 'Epoch(train)' in line]
    assert len(lines) == 12
    assert all('loss_mimic_outputs: ' in line and 'loss_mimic: ' not in line for line in lines)
    assert other.report['settings']['mimic'] == 'head_outputs 1'
    assert list(other.weights) == list(whole.weights)
    assert not torch.equal(
        other.weights['bbox_head.cls_convs.0.0.weight'],
        whole.weights['bbox_head.cls_convs.0.0.weight'],
    )


def test_a_pruned_detector_is_a_student_like_any_other(whole, config, plain, tmp_path):
    """Its handed-out config, and two lines."""
    path = tmp_path / 'further.py'
    teacher = dict(config=str(plain), checkpoint=Config.fromfile(config).load_from)
    path.write_text(
        f"_base_ = ['{whole.work_dir}/pruned_config.py',\n"
        f"          '{ROOT}/configs/_base_/distill/mimic.py']\n"
        f'mimic = dict(teacher={teacher!r})\n'
        'train_cfg = dict(max_epochs=1, val_interval=1)\n'
        'custom_hooks = []\n'
        'param_scheduler = None\n'
    )
    Script(TRAIN, [path, '--work-dir', tmp_path / 'out'], tmp_path / 'prints').check()
    handed_out = torch.load(tmp_path / 'out' / 'student.pth', weights_only=True)['state_dict']
    assert {k: v.shape for k, v in handed_out.items()} == {
        k: v.shape for k, v in whole.weights.items()
    }
    log = log_of(tmp_path / 'out')
    assert 'neck[1] (32, 8, 8) -> conv -> neck[1] (64, 8, 8)' in log
    assert "the fitted transforms leave of the teacher's variance" in log
    detector = init_detector(
        str(tmp_path / 'out' / 'student_config.py'),
        str(tmp_path / 'out' / 'student.pth'),
        device='cpu',
    )
    assert type(detector).__name__ == 'SingleStageDetector'


class Killed:
    def __init__(self, config: Path, folder: Path) -> None:
        self.config, self.work_dir, self.prints = config, folder / 'out', folder / 'prints'
        self.started = 0

    def start(self) -> Script:
        self.started += 1
        args = [self.config, '--work-dir', self.work_dir, '--resume']
        return Script(TRAIN, args, self.prints / str(self.started))

    def says(self, pattern: str):
        def found() -> bool:
            logs = sorted(self.work_dir.glob('2*/*.log'))
            return len(logs) >= self.started and bool(re.search(pattern, logs[-1].read_text()))

        return found


def test_killed_again_and_again(whole, config, tmp_path):
    """Before the first epoch, inside one, and at the end: bit for bit the same detector."""
    run = Killed(config, tmp_path)
    moments = [
        run.says(r'Mimic: the fitted transforms'),
        run.says(r'\(train\) \[1\]\[2/3\]'),
        (run.work_dir / 'pruning_state' / 'progress.pth').exists,
        run.says(r'inside the phase, after epoch [12](.|\n)*\(train\) \[[23]\]\[2/3\]'),
        run.says(r'\(train\) \[4\]\[1/3\]'),
    ]
    for moment in moments:
        process = run.start()
        process.kill_when(moment)
        assert not (run.work_dir / 'report.json').exists()
    run.start().check()
    weights = torch.load(run.work_dir / 'pruned.pth', weights_only=True)['state_dict']
    assert weights.keys() == whole.weights.keys()
    for key, value in whole.weights.items():
        assert torch.equal(value, weights[key]), key
    saved = torch.load(run.work_dir / 'epoch_2.pth', weights_only=False)
    assert any('transforms' in key for key in saved['attached_state_dict'])


class TestFoundBeforeTraining:
    @pytest.fixture
    def fails(self, build, config, tmp_path):
        def check(message: str, mimic: dict) -> None:
            changes = {f'pruning.retrain.mimic.{key}': value for key, value in mimic.items()}
            work_dir = tmp_path / 'out'
            with pytest.raises(CompressionError, match=message):
                build(config, work_dir=str(work_dir), **changes).train()
            assert not (work_dir / 'pruning_state').exists()

        return check

    def test_missing_teacher(self, fails):
        teacher = dict(config='nowhere.py', checkpoint='nowhere.pth')
        fails('pruning.retrain.mimic.teacher.config: nowhere.py', dict(teacher=teacher))

    def test_misspelt_path(self, fails):
        fails("no module 'nek'; did you mean 'neck'", dict(taps=[dict(student='nek')]))

    def test_random_pipeline(self, fails):
        teacher = dict(cache='memory')
        fails('pruning.retrain.mimic.teacher.cache: .*Photo', dict(teacher=teacher))

    def test_nothing_to_teach(self, fails):
        fails('pruning.retrain.mimic.weight=0 and .*teaches nothing', dict(weight=0.0))
