"""A comparison whose ground has a teacher in its retraining: every method's retraining has it."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmdet_lcp.comparison import Request, plan_comparison
from mmdet_lcp.comparison.budget import Budget, set_phases
from mmdet_lcp.config.fingerprint import changes
from mmdet_lcp.pruning.config import PruningConfig

GROUND = r"""
pruning.update(
    layers=r'stage4\.1\.conv',
    selection=dict(num_images=2),
    finetune=dict(max_epochs=None, max_iters=0, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=1, lr=0.001, param_scheduler=None, mimic=dict(weight=7.0)),
    evaluate=('pruned',),
)
train_cfg = dict(max_epochs=1)
param_scheduler = None
"""


@pytest.fixture(scope='module')
def config(write_config) -> Path:
    return write_config('ground_with_teacher', GROUND)


def test_every_method_has_the_teacher(config):
    plan = plan_comparison(Request(str(config), ['lcp', 'l1_norm+exact'], [0.5], finetune_iters=1))
    assert len(plan.cells) == 2
    for cell in plan.cells:
        retrain = PruningConfig.from_cfg(cell.cfg).retrain
        assert retrain.mimic.weight == 7
        assert (retrain.max_epochs, retrain.lr) == (None, 0.001)
    # the method with an auxiliary network has one iteration less for it
    assert [cell.iterations for cell in plan.cells] == ['1 x 1 + 2', '3']


def test_its_numbers_are_not_mixed_with_those_without(config):
    with_teacher = plan_comparison(Request(str(config), ['l1_norm'], [0.5]))
    options = {'pruning.retrain.mimic': None}
    without = plan_comparison(Request(str(config), ['l1_norm'], [0.5], cfg_options=options))
    found = changes(with_teacher.shared, without.shared)
    assert found and all(c.key.startswith('pruning.retrain.mimic') for c in found)


def test_controls_have_none(config):
    plan = plan_comparison(Request(str(config), ['scratch'], [0.5]))
    (cell,) = plan.cells
    assert 'pruning' not in cell.cfg and 'mimic' not in cell.cfg


def test_phases_keep_what_is_no_length(config):
    pruning = Config.fromfile(config).to_dict()['pruning']
    given = PruningConfig.from_cfg(dict(pruning=pruning))
    laid = set_phases(pruning, given, Budget(1, 0, 5), epoch_length=3)
    assert laid['retrain']['mimic'] == dict(weight=7.0)
    assert (laid['retrain']['max_iters'], laid['retrain']['max_epochs']) == (5, None)
    assert 'mimic' not in laid['finetune']
