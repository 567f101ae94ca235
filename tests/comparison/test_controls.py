"""The controls: small architectures from scratch, and the dense detector trained on."""

from pathlib import Path

import pytest
import tiny
import torch
from comparison_ground import GROUND, cell_of
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_lcp.comparison import Request, plan_comparison
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.cost import detector_cost

RATIOS = 'pruning.update(ratio={"_delete_": True, r"4\\.0": 0.75, r"4\\.1": 0.25})\n'


def test_trained_as_the_dense_one_and_for_the_budget_on_top(plan):
    cell = cell_of(plan, 'scratch_r0.5_s1')
    assert cell.cfg['train_cfg']['max_epochs'] == 6 + 5  # 14 iterations: 5 epochs of 3
    assert (cell.total, cell.iterations) == (33, '6 + 5 epochs')
    warm_up, steps = cell.cfg['param_scheduler']
    assert warm_up['end'] == 50
    assert steps['milestones'] == [round(3 * 11 / 6), round(5 * 11 / 6)]
    assert 'pruning' not in cell.cfg and 'runner_type' not in cell.cfg
    assert cell.cfg['load_from'] is None
    assert cell.cfg['randomness']['seed'] == 1


def test_the_pruned_architecture(plan, config):
    dense = MODELS.build(Config.fromfile(config).model)
    scratch = MODELS.build(Config(cell_of(plan, 'scratch_r0.5_s1').cfg).model)
    for path, kept in (('stage4.0', 0.5), ('stage4.1', 0.5), ('stage4.2', 1)):
        before, after = (
            getattr(d.backbone, path[:6])[int(path[-1])].conv.out_channels
            for d in (dense, scratch)
        )
        assert after == kept * before
    scratch.init_weights()
    assert torch.isfinite(scratch.backbone.stage4[0].conv.weight).all()


def test_one_ratio_is_uniform_already(plan):
    assert cell_of(plan, 'uniform_r0.5_s1').same_as == 'scratch_r0.5_s1'
    assert len(plan.notes) == 2  # the other one: the ground's own method
    (note,) = [note for note in plan.notes if note.startswith('uniform')]
    assert 'its architecture is that of scratch, whose result it shares' in note


def test_uniform_by_itself_is_trained(config):
    plan = plan_comparison(Request(config, ['uniform'], [0.5]))
    assert plan.cells[0].same_as is None and not any('shares' in n for n in plan.notes)


def test_uniform_has_the_macs_of_unequal_ratios(folder):
    config = tiny.make_config(folder, folder / 'digits', 'unequal', GROUND + RATIOS)
    plan = plan_comparison(Request(str(config), ['scratch', 'uniform']))
    scratch, uniform = (MODELS.build(Config(cell.cfg).model).eval() for cell in plan.cells)
    assert [cell.ratio for cell in plan.cells] == ['config', 'config']
    widths = [b.conv.out_channels for b in uniform.backbone.stage4[:2]]
    assert widths[0] == widths[1]
    assert widths != [b.conv.out_channels for b in scratch.backbone.stage4[:2]]
    macs = [detector_cost(d, (64, 64))['macs'] for d in (scratch, uniform)]
    assert macs[1] == pytest.approx(macs[0], rel=0.01)


def test_options_of_their_own(config, plan):
    options = {'optim_wrapper.optimizer.lr': 0.5}
    request = Request(
        config, ['lcp', 'scratch'], [0.5], [1], finetune_iters=2, scratch_options=options
    )
    pruned, scratch = plan_comparison(request).cells
    assert scratch.cfg['optim_wrapper']['optimizer']['lr'] == 0.5
    assert pruned.cfg == cell_of(plan, pruned.name).cfg
    before = cell_of(plan, scratch.name).cfg
    assert {k for k in before if before[k] != scratch.cfg[k]} == {'optim_wrapper'}


@pytest.mark.parametrize(
    ('methods', 'key', 'words'),
    [
        (
            ['lcp'],
            'optim_wrapper.optimizer.lr',
            '--criteria names none of scratch and uniform',
        ),
        (['lcp', 'scratch'], 'pruning.ratio', 'only its training may differ'),
        (['uniform'], 'model.backbone.depth', 'only its training may differ'),
        (['dense_retrained'], 'train_cfg.max_epochs', 'none of scratch and uniform'),
    ],
)
def test_options_that_cannot_be_theirs(config, methods, key, words):
    with pytest.raises(CompressionError) as error:
        plan_comparison(Request(config, methods, [0.5], scratch_options={key: 0.5}))
    assert words in str(error.value)


def test_the_dense_detector_trained_on(config):
    request = Request(config, ['dense_retrained'], [0.5, 0.25], [2], macs=[0.97])
    first, *others = plan_comparison(request).cells
    given = Config.fromfile(config)
    assert first.cfg['model'] == given.model.to_dict()
    assert Path(first.cfg['load_from']) == Path(given.load_from).resolve()
    assert 'pruning' not in first.cfg and 'runner_type' not in first.cfg
    assert first.cfg['train_cfg']['max_epochs'] == 5  # 14 iterations of 3 an epoch
    assert (first.total, first.iterations) == (15, '5 epochs')
    assert first.cfg['optim_wrapper']['optimizer']['lr'] == given.pruning.retrain.lr
    assert first.cfg['randomness']['seed'] == 2
    assert first.same_as is None
    assert [cell.same_as for cell in others] == [first.name] * 2


def test_nothing_to_train_on(folder):
    given = "pruning['finetune']['max_iters'] = pruning['retrain']['max_epochs'] = 0\n"
    config = tiny.make_config(folder, folder / 'digits', 'untrained', GROUND + given)
    with pytest.raises(CompressionError, match='would be the dense detector itself'):
        plan_comparison(Request(str(config), ['dense_retrained'], [0.5]))


def test_ratios_from_a_file(folder):
    path = folder / 'ratios.json'
    path.write_text('{"stage4.0": 0.25, "stage4.1": 0.75}')
    given = f'pruning.update(ratio={str(path)!r})\n'
    config = tiny.make_config(folder, folder / 'digits', 'from_file', GROUND + given)
    (cell,) = plan_comparison(Request(str(config), ['lcp_exact'])).cells
    assert cell.ratio == 'config'
    assert cell.cfg['pruning']['ratio'] == {'stage4.0': 0.25, 'stage4.1': 0.75}


def test_a_target_of_another_cost_is_no_ground_for_a_comparison(folder):
    given = 'pruning.update(target=dict(params=0.5), ratio=None)\n'
    config = tiny.make_config(folder, folder / 'digits', 'target', GROUND + given)
    with pytest.raises(CompressionError, match=r'pruning\.target: .* --macs'):
        plan_comparison(Request(str(config), ['lcp_exact']))
