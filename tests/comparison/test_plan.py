"""Which cells there are, with which config and training."""

from dataclasses import replace
from pathlib import Path

import pytest
from comparison_ground import cell_of
from mmengine.config import Config

from mmdet_lcp.comparison import Request, plan_comparison
from mmdet_lcp.comparison.budget import share_out
from mmdet_lcp.config.fingerprint import fingerprint
from mmdet_lcp.config.text import config_text
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.criteria import FPGM


def test_cells(plan):
    assert [cell.name for cell in plan.cells] == [
        f'{method}_r0.5_s{seed}'
        for seed in (3, 1)
        for method in ('lcp', 'lcp+exact', 'lcp_exact', 'scratch', 'uniform')
    ]


def test_every_method_trains_as_long(plan):
    assert [cell.total for cell in plan.cells[:3]] == [14, 14, 14]
    assert [cell.iterations for cell in plan.cells[:3]] == ['2 x 2 + 10', '2 x 2 + 10', '14']


def test_the_schedule_keeps_its_shape(plan):
    """Steps after 2 and 3 of 4 epochs, in a retraining of 10 and of 14 iterations."""
    for name, iterations, steps in (('lcp', 10, [5, 8]), ('lcp_exact', 14, [7, 10])):
        retrain = cell_of(plan, f'{name}_r0.5_s1').cfg['pruning']['retrain']
        assert (retrain['max_epochs'], retrain['max_iters']) == (None, iterations)
        (schedule,) = retrain['param_scheduler']
        assert (schedule['by_epoch'], schedule['milestones']) == (False, steps)
        assert retrain['lr'] == 0.002
    finetune = cell_of(plan, 'lcp_r0.5_s1').cfg['pruning']['finetune']
    assert (finetune['max_iters'], finetune['lr']) == (2, 0.003)


def test_every_method_may_train_before_each_group(config):
    """As many iterations as for what trains something along, and as many in all."""
    request = Request(config, ['lcp', 'thinet', 'random+sgd'], [0.5], finetune_iters=2)
    without = plan_comparison(request)
    assert [cell.iterations for cell in without.cells] == ['2 x 2 + 10', '14', '14']
    plan = plan_comparison(replace(request, finetune_all=True))
    assert [cell.iterations for cell in plan.cells] == ['2 x 2 + 10'] * 3
    assert all(cell.cfg['pruning']['finetune']['max_iters'] == 2 for cell in plan.cells)
    assert plan.shared != without.shared  # another comparison: not in the same folder


def test_peers_prune_at_once(config):
    names = ['torch_pruning_taylor', 'lcp']
    plan = plan_comparison(Request(config, names, [0.5], finetune_iters=2, finetune_all=True))
    assert [cell.iterations for cell in plan.cells] == ['14', '2 x 2 + 10']
    assert sum('prunes all groups at once' in note for note in plan.notes) == 1
    for alone in (['torch_pruning_taylor'], ['dense_retrained']):
        with pytest.raises(CompressionError, match='--finetune-all: --criteria names no method'):
            plan_comparison(Request(config, alone, [0.5], finetune_all=True))


def test_a_cells_config_stands_alone(plan, tmp_path):
    cell = cell_of(plan, 'lcp+exact_r0.5_s3')
    path = tmp_path / 'cell.py'
    path.write_text(config_text(cell.cfg))
    cfg = Config.fromfile(path)
    assert cfg.to_dict() == cell.cfg
    assert fingerprint(cfg.to_dict()) == cell.fingerprint
    assert cfg.randomness.seed == 3 and Path(cfg.load_from).is_absolute()
    assert PruningConfig.from_cfg(cfg).ratio == 0.5
    assert cfg.default_hooks.checkpoint.max_keep_ckpts == 1


def test_numbers_that_are_no_literals(tmp_path):
    path = tmp_path / 'cell.py'
    path.write_text(config_text(dict(a=[float('inf')], b=dict(c=1.5, d=None))))
    assert Config.fromfile(path).to_dict() == dict(a=[float('inf')], b=dict(c=1.5, d=None))


def test_what_does_not_decide_is_not_in_the_fingerprint():
    cfg = dict(model=1, train_dataloader=dict(batch_size=2, num_workers=0), work_dir='a')
    other = dict(cfg, work_dir='b', train_dataloader=dict(batch_size=2, num_workers=4))
    assert fingerprint(cfg) == fingerprint(other)
    assert fingerprint(cfg) != fingerprint(dict(cfg, model=2))


def test_several_ratios_and_the_configs_own(folder, config):
    plan = plan_comparison(Request(config, ['lcp_exact'], [0.3, 0.7]))
    ratios = [cell.cfg['pruning']['ratio'] for cell in plan.cells]
    assert [c.name for c in plan.cells] == ['lcp_exact_r0.3_s0', 'lcp_exact_r0.7_s0']
    assert ratios == [0.3, 0.7]
    assert plan_comparison(Request(config, ['lcp_exact'])).cells[0].ratio == 0.5


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(methods=['lcpp']), "nearest is 'lcp'"),
        (dict(methods=['lcp', 'lcp']), 'names a method twice'),
        (dict(methods=[]), 'names no method'),
        (dict(ratios=[0.5, 1.0]), '--ratios 1 is the fraction'),
        (dict(ratios=[0.0]), '--ratios 0 is the fraction'),
        (dict(ratios=[0.5, 0.5]), '--ratios names a value twice'),
        (dict(seeds=[1, 1]), '--seeds names a value twice'),
        (dict(seeds=[-1]), '--seeds must be integers'),
        (dict(finetune_iters=0), '--finetune-iters must be at least 1'),
        (dict(config='nowhere.py'), 'nowhere.py: there is no such config'),
        (dict(checkpoint='nowhere.pth'), "--checkpoint='nowhere.pth': there is no such file"),
        (dict(cfg_options={'load_from': None}), 'name its checkpoint with --checkpoint'),
        (dict(cfg_options={'load_from': 'x.pth'}), "load_from='x.pth'"),
        (dict(cfg_options={'pruning.retrain.max_epoch': 1}), "'max_epochs'"),
        (
            dict(finetune_iters=7),
            'lcp: 2 groups x 7 iterations before each are 14, and the whole budget is 14',
        ),
        (
            dict(methods=['scratch'], cfg_options={'train_cfg.max_epochs': None}),
            'scratch: the config has no train_cfg.max_epochs',
        ),
    ],
)
def test_bad_input(config, changes, words):
    with pytest.raises(CompressionError) as error:
        plan_comparison(Request(**{'config': config, 'methods': ['lcp'], **changes}))
    assert words in str(error.value)


def test_nothing_to_share_out():
    assert share_out(0, 3, 0, 'a').total == 0
    assert share_out(7, 3, 2, 'a').retrain == 1


def test_what_the_config_asks_for_by_default(config):
    """Where no amount is named; it is taken as if --macs had said it."""
    options = {'pruning.default': dict(_delete_=True, target=dict(macs=0.9))}
    (cell,) = plan_comparison(Request(config, ['l1_norm'], cfg_options=options)).cells
    assert cell.name == 'l1_norm_rmacs0.9_s0'
    assert PruningConfig.from_cfg(cell.cfg).target.macs == 0.9
    (cell,) = plan_comparison(Request(config, ['l1_norm'], [0.25], cfg_options=options)).cells
    assert PruningConfig.from_cfg(cell.cfg).target is None
    with pytest.raises(CompressionError, match='with --macs every method leaves another one'):
        plan_comparison(Request(config, ['scratch'], cfg_options=options))
    options['pruning.default'] = dict(_delete_=True, target=dict(params=0.6))
    with pytest.raises(CompressionError, match=r'pruning\.default is a target of params'):
        plan_comparison(Request(config, ['l1_norm'], cfg_options=options))


def test_groups_that_one_method_cannot_work_on_are_nobodys(config, monkeypatch):
    def check(self, detector, group):
        if 'stage4' in group.name:
            raise CompressionError('not this one')

    options = {'pruning.layers': '.'}
    free = plan_comparison(Request(config, ['l1_norm', 'fpgm'], cfg_options=options))
    assert {cell.cfg['pruning']['layers'] for cell in free.cells} == {'.'}
    monkeypatch.setattr(FPGM, 'check', check)
    plan = plan_comparison(Request(config, ['l1_norm', 'fpgm'], cfg_options=options))
    one, other = (cell.cfg['pruning']['layers'] for cell in plan.cells)
    assert one == other and one and not any('stage4' in pattern for pattern in one)
    assert any(r'stage3\.0' in pattern for pattern in one)
    (note,) = [note for note in plan.notes if note.startswith('fpgm cannot work on')]
    assert 'backbone.stage4.0.conv' in note and note.endswith('no method prunes them')
