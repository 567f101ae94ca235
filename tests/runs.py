import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny
import torch
from fake_gpu import FakeGpu
from mmengine.config import Config
from mmengine.registry import RUNNERS
from torch import nn

from mmdet_lcp.measure.pair_timing import PairTiming
from mmdet_lcp.pruning import job, prepare

ROOT = Path(__file__).parents[1]
TRAIN = ROOT / 'tools' / 'train.py'

# Two groups, one behind the other; both kinds of measurement between them.
TWO_GROUPS = r"""
pruning.update(
    layers=r'stage4\.[01]\.conv',
    finetune=dict(max_epochs=2, max_iters=None, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=4, lr=0.02),
    evaluate=('selected', 'finetuned'),
)
default_hooks.update(checkpoint=dict(interval=2))
"""
# Dense and pruned detector see the training images, and find something on them.
SEEN_IMAGES = """
test_dataloader.update(dataset=dict(
    data_root=data_root, ann_file='annotations/train.json',
    data_prefix=dict(img='images/train/'), pipeline=test_pipeline))
test_evaluator.update(ann_file=data_root + 'annotations/train.json')
"""
# One group, one iteration, no retraining.
SHORT = r"""
pruning.update(
    layers=r'stage4\.1\.conv',
    selection=dict(num_images=2),
    finetune=dict(max_epochs=None, max_iters=1, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=0),
)
test_dataloader, test_cfg, test_evaluator = None, None, None
"""


@dataclass
class Run:
    """A run that has ended, and what `train` returned."""

    config: Path
    work_dir: Path
    runner: object
    detector: nn.Module

    @property
    def report(self) -> dict:
        return json.loads((self.work_dir / 'report.json').read_text())

    @property
    def plan(self) -> dict:
        return json.loads((self.work_dir / 'plan.json').read_text())

    @property
    def weights(self) -> dict:
        return torch.load(self.work_dir / 'pruned.pth', weights_only=True)['state_dict']


@pytest.fixture(scope='session')
def data(tmp_path_factory) -> Path:
    return tiny.make_data(tmp_path_factory.mktemp('digits'))


@pytest.fixture(scope='session')
def write_config(tmp_path_factory, data):
    """Write a tiny config with some changes; all share one dense checkpoint."""
    folder = tmp_path_factory.mktemp('configs')

    def write(name: str, extra: str = '') -> Path:
        return tiny.make_config(folder, data, name, extra)

    return write


@pytest.fixture(scope='session')
def build():
    """Build a config's runner in this process."""

    def build_runner(config: Path, **options):
        cfg = Config.fromfile(config)
        cfg.merge_from_dict(options)
        # mmengine keeps loggers and visualizers by name for the life of the process
        cfg.experiment_name = cfg.visualizer.name = str(cfg.work_dir).replace('/', '_')
        return RUNNERS.build(cfg)

    return build_runner


@pytest.fixture(scope='session')
def prune(build):
    """Run a config in this process."""

    def run(config: Path, **options) -> Run:
        runner = build(config, **options)
        detector = runner.train()
        return Run(config, Path(runner.work_dir), runner, detector)

    return run


@pytest.fixture(scope='session')
def finished(write_config, prune) -> Run:
    """A run of two groups."""
    return prune(write_config('finished', TWO_GROUPS + SEEN_IMAGES))


@pytest.fixture
def plain_output(monkeypatch):
    """Draw no pictures, a part of a tiny run's time."""
    monkeypatch.setattr('mmdet_lcp.engine.finish.write_run_pictures', lambda *_: None)
    monkeypatch.setattr('mmdet_lcp.report.report_pages.write_run_page', lambda *_: None)


@pytest.fixture
def gpu(monkeypatch):
    """Runs go to a GPU that is none. What traces the detector is left unchecked."""
    gpu = FakeGpu()

    def unchecked(function):
        def run(*args, **kwargs):
            with gpu.pause():
                return function(*args, **kwargs)

        return run

    monkeypatch.setattr('mmengine.runner.runner.get_device', lambda: 'cuda')
    monkeypatch.setattr(job, 'find_groups', unchecked(job.find_groups))
    monkeypatch.setattr(prepare, 'following_norms', unchecked(prepare.following_norms))
    monkeypatch.setattr('mmdet_lcp.measure.cost.macs_by_module', lambda *_: {'': 1})
    timing = PairTiming([1.0], [1.0])
    monkeypatch.setattr('mmdet_lcp.engine.finish.time_pair', lambda *_: timing)
    with gpu:
        yield gpu
