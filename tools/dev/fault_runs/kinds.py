"""The kinds of run that are killed: each the smallest that does what its name says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tiny

TOOLS = tiny.ROOT / 'tools'
# What has to survive beside the weights: momentum, an average of weights, a schedule.
STATEFUL = """
custom_hooks = [
    dict(type='mmdet_lcp.DropDegenerateBoxesHook'), dict(type='EMAHook', momentum=0.2)]
default_hooks.update(checkpoint=dict(interval=2))
test_dataloader, test_cfg, test_evaluator = None, None, None
"""
PRUNING = r"""
pruning.update(
    layers=r'stage[34]\.[01]\.conv',
    finetune=dict(max_epochs=None, max_iters=1, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=1, lr=0.01), evaluate=('selected', 'pruned'))
"""
FINETUNING = r"""
pruning.update(
    layers=r'stage4\.[01]\.conv',
    finetune=dict(max_epochs=8, max_iters=None, lr=0.001, param_scheduler=[
        dict(type='CosineAnnealingLR', convert_to_iter_based=True)]),
    retrain=dict(max_epochs=1, lr=0.01), evaluate=())
"""
RETRAINING = r"""
pruning.update(
    layers=r'stage4\.1\.conv',
    finetune=dict(max_epochs=None, max_iters=1, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=20, lr=0.01, param_scheduler=[
        dict(type='CosineAnnealingLR', convert_to_iter_based=True)]), evaluate=())
"""
WEIGHTS = """
weight_compression = dict(
    methods=dict(
        prune=dict(type='mmdet_lcp.ConnectionPruning', sparsity=0.5, rounds=2,
                   training=dict(max_epochs=3, lr=0.001)),
        share=dict(type='mmdet_lcp.WeightSharing', bits=3,
                   training=dict(max_epochs=3, lr=0.001))),
    evaluate=['trained'],
)
runner_type = 'mmdet_lcp.WeightCompressionRunner'
"""
CHAIN = """
chain = ['mmdet_lcp.PruningRunner', 'mmdet_lcp.WeightCompressionRunner']
runner_type = 'mmdet_lcp.ChainRunner'
"""
MIMIC = """
_base_ = [{plain!r}, '{root}/configs/_base_/distill/mimic.py']
model = dict(
    backbone=dict(width_mult=0.0625), neck=dict(in_channels=(16, 32), out_channels=(16, 32, 16)),
    bbox_head=dict(in_channels=(16, 32, 16)))
load_from = None
work_dir = {work_dir!r}
train_cfg = dict(max_epochs=12, val_interval=4)
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, T_max=12, eta_min=1e-4,
                        convert_to_iter_based=True)]
default_hooks = dict(checkpoint=dict(interval=1))
mimic = dict(teacher=dict(config={plain!r}, checkpoint={teacher!r}))
"""
SHORT = """
pruning.update(
    layers=r'stage4\\.1\\.conv',
    finetune=dict(max_epochs=None, max_iters=2, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=4, lr=0.01), evaluate=())
"""


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Attributes:
        name: in the table.
        write: writes its config into a folder that holds the data, and returns it.
        results: patterns of the files that must be the same whether it was killed or not.
        tool: that runs it.
        args: behind the config.
        folder: the option that names its folder.
    """

    name: str
    write: Callable[[Path], Path]
    results: tuple[str, ...]
    tool: str = 'train.py'
    args: tuple[str, ...] = ('--resume',)
    folder: str = '--work-dir'

    def command(self, config: Path, out: Path) -> list[str]:
        """The arguments of its tool."""
        return [str(config), *self.args, self.folder, str(out)]


def _tiny(name: str, extra: str) -> Callable[[Path], Path]:
    return lambda folder: tiny.make_config(folder, folder / 'digits', name, extra)


def _without_pruning(path: Path) -> str:
    text = path.read_text().split('\npruning = dict(')[0]
    return ''.join(f'{line}\n' for line in text.splitlines() if '_base_/pruning/' not in line)


def _weights(folder: Path) -> Path:
    path = _tiny('weights', '')(folder)
    path.write_text(_without_pruning(path) + WEIGHTS)
    return path


def _mimic(folder: Path) -> Path:
    plain = _tiny('plain', '')(folder)
    plain.write_text(_without_pruning(plain))
    path = folder / 'mimic.py'
    words = dict(root=tiny.ROOT, plain=str(plain), teacher=str(folder / 'dense.pth'))
    path.write_text(MIMIC.format(**words, work_dir=str(folder / 'mimic_out')))
    return path


PRUNED = ('plan.json', 'pruned.pth')
KINDS = (
    Kind('pruning, group by group', _tiny('groups', PRUNING + STATEFUL), PRUNED),
    Kind('fine-tuning inside a stage', _tiny('finetuning', FINETUNING + STATEFUL), PRUNED),
    Kind('retraining', _tiny('retraining', RETRAINING + STATEFUL), PRUNED),
    Kind('weight compression', _weights, ('compressed.pth', 'compressed.lcp')),
    Kind('mimic', _mimic, ('student.pth',)),
    Kind(
        'chain: pruning, weight compression',
        _tiny('chain', SHORT + WEIGHTS + CHAIN),
        ('1_pruning/plan.json', '1_pruning/pruned.pth', '2_weight_compression/compressed.pth'),
    ),
    Kind(
        'comparison, 2 cells',
        _tiny('comparison', SHORT),
        ('cells/*/run/plan.json', 'cells/*/run/pruned.pth'),
        'compare.py',
        ('--criteria', 'l1_norm', 'random', '--ratios', '0.5', '--finetune-iters', '1'),
        '--out',
    ),
)
