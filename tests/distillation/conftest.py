"""A tiny student, its teacher and their data."""

from pathlib import Path

import pytest
import tiny
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import RUNNERS

from mmdet_lcp.distillation.finish import MimicFinish
from mmdet_lcp.distillation.runner import MimicRunner

# Half of the tiny detector's channels; two epochs.
STUDENT = """
_base_ = [{plain!r}, '{root}/configs/_base_/distill/mimic.py']
model = dict(
    backbone=dict(width_mult=0.0625),
    neck=dict(in_channels=(16, 32), out_channels=(16, 32, 16)),
    bbox_head=dict(in_channels=(16, 32, 16)),
)
load_from = None
work_dir = {work_dir!r}
train_cfg = dict(max_epochs=2, val_interval=2)
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, T_max=2, eta_min=1e-4,
                        convert_to_iter_based=True)]
mimic = dict(teacher=dict(config={plain!r}, checkpoint={teacher!r}))
"""
# Images always alike: neither crops nor colours at random.
FIXED = """
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='PackDetInputs'),
]))
"""


@pytest.fixture(scope='session')
def plain(tmp_path_factory, data) -> Path:
    """The tiny detector's own config, without pruning; a checkpoint lies beside it."""
    folder = tmp_path_factory.mktemp('plain')
    text = tiny.make_config(folder, data).read_text().split('\npruning = dict(')[0]
    lines = [line for line in text.splitlines() if '_base_/pruning/' not in line]
    path = folder / 'plain.py'
    path.write_text('\n'.join(lines) + '\n')
    return path


@pytest.fixture(scope='session')
def write_student(tmp_path_factory, plain):
    """Write a student's config; all have the same teacher."""
    folder = tmp_path_factory.mktemp('students')

    def write(name: str, extra: str = '') -> Path:
        path = folder / f'{name}.py'
        path.write_text(
            STUDENT.format(
                root=tiny.ROOT,
                plain=str(plain),
                teacher=str(plain.with_name('dense.pth')),
                work_dir=str(folder / f'{name}_out'),
            )
            + extra
        )
        return path

    return write


def leave_report_out(patch: pytest.MonkeyPatch) -> None:
    """Let runs train and hand out, and measure nothing."""
    patch.setattr(MimicFinish, 'measure_dense', lambda self: None)
    patch.setattr(MimicRunner, 'record', lambda *_: None)
    patch.setattr(MimicFinish, 'run', lambda self, _: self.deliver(self._meta()))


@pytest.fixture(scope='session')
def run_student():
    """Train a student in this process; the runner, and what it returned.

    The teacher is measured, and a report written, only where that is asked for.
    """

    def run(config: Path, report: bool = False, **options):
        cfg = Config.fromfile(config)
        cfg.merge_from_dict(options)
        # mmengine keeps loggers and visualizers by name for the life of the process
        cfg.experiment_name = cfg.visualizer.name = str(cfg.work_dir).replace('/', '_')
        runner = RUNNERS.build(cfg)
        with pytest.MonkeyPatch.context() as patch:
            if not report:
                leave_report_out(patch)
            return runner, runner.train()

    return run


@pytest.fixture
def detectors(write_student, plain):
    """(student, teacher), with weights that differ, from their configs."""
    torch.manual_seed(3)
    found = []
    for path in (write_student('pair'), plain):
        detector = MODELS.build(Config.fromfile(path).model)
        detector.init_weights()
        found.append(detector)
    return found
