"""Amounts that are told as what may remain of the multiply-accumulates."""

import pytest

from mmdet_lcp.comparison import Request, plan_comparison
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.config import PruningConfig


def test_every_method_has_the_target(config):
    request = Request(config, ['lcp_exact', 'l1_norm+exact'], macs=[0.97], seeds=[4])
    plan = plan_comparison(request)
    assert [cell.name for cell in plan.cells] == [
        'lcp_exact_rmacs0.97_s4',
        'l1_norm+exact_rmacs0.97_s4',
    ]
    for cell in plan.cells:
        pruning = PruningConfig.from_cfg(cell.cfg)
        assert (pruning.ratio, pruning.target.macs) == (None, 0.97)
        assert cell.total == 14
    (note,) = plan.notes
    assert note.startswith('what the config itself says of its method')


def test_beside_ratios_in_one_folder(config):
    both = plan_comparison(Request(config, ['lcp_exact'], [0.5], macs=[0.97]))
    assert [cell.ratio for cell in both.cells] == [0.5, 'macs0.97']
    assert both.cells[0].cfg['pruning'].get('target') is None
    assert both.shared == plan_comparison(Request(config, ['lcp_exact'], [0.5])).shared


def test_with_what_else_a_target_says(config):
    """Taken beside the share, and part of what runs of one folder have in common."""
    options = {'pruning.target.max_ratio': 0.9}
    plan = plan_comparison(Request(config, ['lcp_exact'], macs=[0.97], cfg_options=options))
    (cell,) = plan.cells
    pruning = PruningConfig.from_cfg(cell.cfg)
    assert (pruning.target.macs, pruning.target.max_ratio) == (0.97, 0.9)
    plain = plan_comparison(Request(config, ['lcp_exact'], macs=[0.97]))
    assert plan.shared != plain.shared


def test_the_configs_own_share(config):
    """Where the request names no amount; else that of the request goes before it."""
    own = {'pruning.target.macs': 0.97}

    def shares(**request):
        plan = plan_comparison(Request(config, ['lcp_exact'], **request))
        targets = [PruningConfig.from_cfg(cell.cfg).target for cell in plan.cells]
        return [cell.ratio for cell in plan.cells], [t and t.macs for t in targets], plan.shared

    asked = shares(macs=[0.97])
    assert shares(cfg_options=own) == asked == (['macs0.97'], [0.97], asked[2])
    assert shares(cfg_options={'pruning.target.macs': 0.96}, macs=[0.97]) == asked
    assert shares(cfg_options=own, ratios=[0.5])[:2] == ([0.5], [None])


def test_its_own_share_with_what_else_it_says(config):
    options = {'pruning.target.macs': 0.97, 'pruning.target.max_ratio': 0.9}
    (cell,) = plan_comparison(Request(config, ['lcp_exact'], cfg_options=options)).cells
    target = PruningConfig.from_cfg(cell.cfg).target
    assert (cell.ratio, target.macs, target.max_ratio) == ('macs0.97', 0.97, 0.9)


@pytest.mark.parametrize(
    ('target', 'amount'),
    [
        (dict(params=0.5), dict(macs=[0.97])),
        (dict(params=0.5), {}),
        (dict(max_ratio=0.9), dict(ratios=[0.5])),
        (dict(macs=0.97, max_ratio=0.9), dict(ratios=[0.5])),
        (0.5, dict(macs=[0.97])),
    ],
)
def test_a_target_of_another_cost_or_that_is_not_read(config, target, amount):
    request = Request(config, ['lcp_exact'], cfg_options={'pruning.target': target}, **amount)
    with pytest.raises(CompressionError, match=r'pruning\.target: methods are compared at'):
        plan_comparison(request)


def test_groups_left_whole_are_told(config):
    notes = plan_comparison(Request(config, ['lcp'], macs=[0.97], finetune_iters=2)).notes
    words = 'lcp at macs0.97: trains 2 iterations less for each group'
    assert len(notes) == 2 and sum(note.startswith(words) for note in notes) == 1


def test_out_of_reach(config):
    with pytest.raises(CompressionError, match=r'target\.macs=0\.01 cannot be reached'):
        plan_comparison(Request(config, ['lcp_exact'], macs=[0.01]))


@pytest.mark.parametrize('name', ['scratch', 'uniform'])
def test_controls_have_no_architecture(config, name):
    with pytest.raises(CompressionError, match=f'{name} has the architecture .* --ratios'):
        plan_comparison(Request(config, ['lcp_exact', name], macs=[0.97]))


@pytest.mark.parametrize('share', [0.0, 1.0, 40])
def test_out_of_range(config, share):
    with pytest.raises(CompressionError, match=f'--macs {share:g} is the share'):
        plan_comparison(Request(config, ['lcp_exact'], macs=[share]))
