"""Options that change the methods compared: split off, set in the fragment, refused."""

import pytest

from mmdet_lcp.comparison import Request, find_method, plan_comparison
from mmdet_lcp.comparison.method_options import split_options, with_options
from mmdet_lcp.config.file import read_config
from mmdet_lcp.errors import CompressionError

METRIC = {'pruning.criterion.metric': 'variance'}


def test_split():
    own = {
        **METRIC,
        'pruning.update.ridge': 0.1,
        'pruning.attachment': None,
        'pruning.objective.alpha': 0.5,
        'pruning.selection.positions.objects': 0.0,
        'pruning.method': 'mine',
    }
    others = {
        'pruning.selection.num_images': 4,
        'pruning.ratio': 0.5,
        'pruning.criteria': 1,
        'criterion.metric': 'variance',
        'model.backbone.depth': 11,
    }
    assert split_options({**own, **others}) == (own, others)


def test_only_what_is_named_changes(config):
    pruning = read_config(config).pruning.to_dict()
    method = find_method('lcp_exact')
    before = method.apply(pruning)
    options = {**METRIC, 'pruning.selection.positions.objects': 0.25}
    after = with_options(method, options, pruning).apply(pruning)
    assert method.apply(pruning) == before
    assert before['criterion']['metric'] == 'gradient'
    assert after['criterion']['metric'] == 'variance'
    assert after['selection'] == dict(num_images=2, positions=dict(objects=0.25))
    after['criterion']['metric'] = 'gradient'
    assert {**after, 'selection': before['selection']} == before


def test_the_cells_have_them(config):
    """They reach the runs, where a fragment of the same keys goes before the config."""
    options = {**METRIC, 'pruning.retrain.max_epochs': 5}
    plain, changed = (
        plan_comparison(Request(config, ['lcp_exact', 'scratch'], cfg_options=given))
        for given in ({}, options)
    )
    of_plain, of_changed = (plan.cells[0].cfg['pruning'] for plan in (plain, changed))
    assert of_plain['criterion']['metric'] == 'gradient'
    assert of_changed['criterion']['metric'] == 'variance'
    assert changed.cells[0].total == 17  # 2 x 1 + 5 x 3
    assert plain.shared != changed.shared  # not two comparisons in one folder


def test_a_key_that_the_configs_own_method_does_not_have(config):
    """It is the compared method that has to have it."""
    options = {'pruning.criterion.greedy_steps': 2}
    request = Request(config, ['lcp'], finetune_iters=2, cfg_options=options)
    (cell,) = plan_comparison(request).cells
    assert cell.cfg['pruning']['criterion']['greedy_steps'] == 2


def test_nobody_to_change(config):
    with pytest.raises(
        CompressionError, match=r'criterion\.metric: --criteria names controls only'
    ):
        plan_comparison(Request(config, ['scratch'], cfg_options=METRIC))


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (
            METRIC,
            ['--cfg-options pruning.criterion.metric=variance', 'lcp does not take it'],
        ),
        ({'pruning.criterion.metrik': 'variance'}, ['lcp_exact does not take it', "'metric'"]),
        ({'pruning.attachment.contextual': False}, ['lcp_exact does not take it']),
        ({'pruning.criterion': None}, ['lcp_exact does not take it']),
        ({'pruning.criterion.type': 'L1Norm'}, ['another method of lcp_exact', 'NAME+UPDATE']),
        ({'pruning.criterion._delete_': True}, ['another method of lcp_exact']),
        ({'pruning.selection': dict(positions=dict(objects=0.0))}, ['key by key']),
        ({'pruning': dict(criterion=dict(metric='variance'))}, ['key by key']),
    ],
)
def test_refused(config, options, words):
    with pytest.raises(CompressionError) as error:
        plan_comparison(Request(config, ['lcp_exact', 'lcp'], cfg_options=options))
    for word in words:
        assert word in str(error.value)


def test_another_packages_pruner_has_no_such_keys(config):
    request = Request(config, ['lcp_exact', 'torch_pruning_taylor'], cfg_options=METRIC)
    with pytest.raises(
        CompressionError, match=r"torch_pruning_taylor is another package's pruner"
    ):
        plan_comparison(request)


def test_copies_are_tried_for_methods_that_train_nothing_along(config):
    """The ground's own method has an attachment, which does not count."""
    tried = {'pruning.target.spread': 'auto'}
    (cell,) = plan_comparison(Request(config, ['lcp_exact'], macs=[0.97], cfg_options=tried)).cells
    assert cell.cfg['pruning']['target'] == dict(spread='auto', macs=0.97)
    request = Request(
        config, ['lcp_exact', 'lcp'], macs=[0.97], finetune_iters=2, cfg_options=tried
    )
    with pytest.raises(
        CompressionError, match=r'lcp: pruning\.target\.spread=.auto. prunes copies'
    ):
        plan_comparison(request)


NOTE = 'what the config itself says of its method'


def test_a_configs_own_method_is_not_compared_and_the_plan_says_so(config, tmp_path):
    """The ground's positions are of no fragment; what --criteria names is."""
    notes = plan_comparison(Request(config, ['lcp_exact'])).notes
    assert sum(note.startswith(NOTE) for note in notes) == 1
    own = read_config(config).pruning.to_dict()
    mine = tmp_path / 'mine.py'
    parts = {key: own[key] for key in ('criterion', 'update', 'attachment', 'objective')}
    parts['selection'] = dict(positions=own['selection']['positions'])
    mine.write_text(f'pruning = {parts!r}\n')
    notes = plan_comparison(Request(config, [str(mine)], finetune_iters=2)).notes
    assert not any(note.startswith(NOTE) for note in notes)
