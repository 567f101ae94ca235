"""The `pruning` config: every key is checked, and a typing error names the nearest key."""

import copy
import math
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdet_lcp.auxiliary.localization_auxiliary import LocalizationAuxiliary
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.groups import KINDS
from mmdet_lcp.pruning.config import PruningConfig, RetrainConfig
from mmdet_lcp.pruning.criteria import LCP
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.targets.target import Target
from mmdet_lcp.pruning.updates import NoUpdate, SGDUpdate
from mmdet_lcp.selection.config import SelectionConfig

FRAGMENT = Path(__file__).parents[2] / 'configs' / '_base_' / 'pruning' / 'lcp.py'


@pytest.fixture
def given():
    return dict(
        criterion=dict(type='mmdet_lcp.LCP'),
        update=dict(type='mmdet_lcp.SGDUpdate', passes=3),
        attachment=dict(type='mmdet_lcp.LocalizationAuxiliary'),
        objective=dict(alpha=2.0),
        selection=dict(num_images=5),
        finetune=dict(max_epochs=1),
        retrain=dict(max_iters=7, lr=0.1),
    )


def read(given) -> PruningConfig:
    return PruningConfig.from_cfg(Config(dict(pruning=given)))


def test_defaults(given):
    config = read(given)
    assert isinstance(config.criterion, LCP)
    assert isinstance(config.update, SGDUpdate)
    assert config.update.passes == 3
    assert isinstance(config.attachment, LocalizationAuxiliary)
    assert config.objective == Objective(reconstruction=1.0, alpha=2.0)
    assert config.selection == SelectionConfig(5, None, 2.0)
    assert config.retrain == RetrainConfig(max_iters=7, lr=0.1)
    assert config.layer_patterns == [r'^backbone\.']
    assert (config.ratio, config.channel_divisor, config.min_channels) == (0.5, 'auto', 1)
    assert (config.stages, config.evaluate) == (None, ('selected', 'finetuned', 'pruned'))


def test_the_given_config_is_left_alone(given):
    cfg = Config(dict(pruning=given))
    before = copy.deepcopy(cfg.pruning)
    PruningConfig.from_cfg(cfg)
    assert cfg.pruning == before


def test_fragment():
    config = PruningConfig.from_cfg(Config.fromfile(FRAGMENT))
    assert config.ratio == 0.5


def test_types_without_scope_and_classes(given):
    given.update(criterion=dict(type='LCP'), update=dict(type=NoUpdate), attachment=None)
    config = PruningConfig.from_cfg(dict(pruning=given))
    assert isinstance(config.criterion, LCP)
    assert isinstance(config.update, NoUpdate)
    assert config.attachment is None


def test_ranges_that_are_right(given):
    given.update(
        layers=['a', 'b'],
        stages=[1, 2],
        ratio={'a': 0.001, 'b': 0.999},
        channel_divisor=8,
        min_channels=4,
        evaluate=[],
        finetune=dict(max_epochs=0, param_scheduler=dict(type='MultiStepLR', milestones=[1])),
        retrain=dict(max_iters=0, param_scheduler=[], val_interval=2),
        selection=dict(num_images=1, batch_size=2, cache_gb=0),
    )
    config = read(given)
    assert config.layer_patterns == ['a', 'b']
    assert config.ratio == {'a': 0.001, 'b': 0.999}


@pytest.mark.parametrize(
    ('level', 'key', 'nearest'),
    [
        (None, 'ratios', 'ratio'),
        (None, 'min_channel', 'min_channels'),
        (None, 'critereon', 'criterion'),
        ('criterion', 'greedy_step', 'greedy_steps'),
        ('criterion', 'inner_rl', 'inner_lr'),
        ('update', 'pass', 'passes'),
        ('attachment', 'contextural', 'contextual'),
        ('attachment', 'box_wieght', 'box_weight'),
        ('finetune', 'max_epoch', 'max_epochs'),
        ('finetune', 'param_schedulers', 'param_scheduler'),
        ('retrain', 'max_iter', 'max_iters'),
        ('objective', 'alfa', 'alpha'),
        ('objective', 'reconstrution', 'reconstruction'),
        ('selection', 'num_image', 'num_images'),
        ('selection', 'cache', 'cache_gb'),
    ],
)
def test_misspelt_keys(given, level, key, nearest):
    (given if level is None else given[level])[key] = 1
    where = 'pruning' if level is None else rf'pruning\.{level}'
    with pytest.raises(CompressionError, match=rf"^{where} has an unknown key '{key}'") as error:
        read(given)
    assert f'the nearest valid one is {nearest!r}' in str(error.value)


@pytest.mark.parametrize(
    ('level', 'kind', 'nearest'),
    [
        ('criterion', 'LPC', 'LCP'),
        ('criterion', 'mmdet_lcp.LCp', 'LCP'),
        ('update', 'SGDupdate', 'SGDUpdate'),
        ('update', 'mmdet_lcp.NoUpdat', 'NoUpdate'),
        ('attachment', 'LocalisationAuxiliary', 'LocalizationAuxiliary'),
    ],
)
def test_misspelt_types(given, level, kind, nearest):
    given[level] = dict(type=kind)
    with pytest.raises(CompressionError, match=rf"^pruning\.{level}\.type='{kind}'") as error:
        read(given)
    assert f'the nearest is {nearest!r}' in str(error.value)


@pytest.mark.parametrize('near', ['prunning', 'prune', 'Pruning'])
def test_a_misspelt_pruning_key(given, near):
    with pytest.raises(CompressionError, match='no `pruning` key') as error:
        PruningConfig.from_cfg(Config({'model': {}, near: given}))
    assert f'Did you mean `{near}` to be `pruning`?' in str(error.value)


def test_no_pruning_key_at_all():
    with pytest.raises(CompressionError, match='no `pruning` key') as error:
        PruningConfig.from_cfg(Config(dict(model={}, optim_wrapper={})))
    assert 'Did you mean' not in str(error.value)


@pytest.mark.parametrize('key', ['criterion', 'update', 'finetune', 'retrain'])
def test_missing_keys(given, key):
    given[key] = None
    with pytest.raises(CompressionError, match=rf'pruning\.{key} is missing'):
        read(given)
    del given[key]
    with pytest.raises(CompressionError, match=rf'pruning\.{key} is missing'):
        read(given)


def test_a_pattern_without_a_ratio(given):
    given['ratio'] = {'stage1': 0.5, 'stage2': None}
    with pytest.raises(CompressionError, match=r"pruning\.ratio\['stage2'\]=.*between 0 and 1"):
        read(given)


@pytest.mark.parametrize('ratio', [0, 1, 0.0, 1.0, -0.1, 1.5, math.nan, True, '0.5', [0.5]])
def test_ratio_out_of_range(given, ratio):
    given['ratio'] = ratio
    with pytest.raises(CompressionError, match=r'pruning\.ratio=.*between 0 and 1'):
        read(given)
    given['ratio'] = {'stage1': 0.5, 'stage2': ratio}
    with pytest.raises(CompressionError, match=r"pruning\.ratio\['stage2'\]=.*between 0 and 1"):
        read(given)


@pytest.mark.parametrize('pattern', ['stage(', '[', '*a'])
def test_what_is_no_regular_expression(given, pattern):
    for layers in (pattern, ['stage1', pattern]):
        given['layers'] = layers
        with pytest.raises(CompressionError, match=r'pruning\.layers=.*not a regular expression'):
            read(given)
    del given['layers']
    given['ratio'] = {pattern: 0.5}
    with pytest.raises(CompressionError, match=r'pruning\.ratio\[.*not a regular expression'):
        read(given)


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (dict(layers=5), r'pruning\.layers=5'),
        (dict(layers=None), r'pruning\.layers=None'),
        (dict(layers=[]), r'pruning\.layers=\[\]'),
        (dict(layers=[1]), r'pruning\.layers=1 is not a regular expression'),
        (dict(stages=3), r'pruning\.stages=3 must be a list'),
        (dict(stages='conv3'), r"pruning\.stages='conv3' must be a list"),
        (dict(stages=[0]), r'pruning\.stages=0 must be an integer >= 1'),
        (dict(stages=['conv3']), r"pruning\.stages='conv3' must be an integer"),
        (dict(stages=[]), r'pruning\.stages=\[\]'),
        (dict(channel_divisor=0), r'pruning\.channel_divisor=0'),
        (dict(channel_divisor=8.0), r'pruning\.channel_divisor=8\.0'),
        (dict(min_channels='4'), r"pruning\.min_channels='4'"),
        (dict(min_channels=-1), r'pruning\.min_channels=-1'),
        (dict(evaluate='selected'), r"pruning\.evaluate='selected' must be a list"),
        (dict(evaluate=None), r'pruning\.evaluate=None'),
        (dict(evaluate=['selected', 'dense']), r"pruning\.evaluate=.*'dense'"),
        (dict(criterion='LCP'), r"pruning\.criterion must be a dict with a 'type'"),
        (dict(criterion=dict(greedy_steps=1)), r"pruning\.criterion must be a dict with a 'type'"),
        (dict(criterion=dict(type=5)), r'pruning\.criterion\.type=5'),
        (dict(criterion=dict(type='LCP', inner_lr='1')), r"pruning\.criterion\.inner_lr='1'"),
        (dict(update=dict(type='SGDUpdate', lr=0)), r'pruning\.update\.lr=0'),
        (dict(attachment=dict(type='LocalizationAuxiliary', box_weight=-1)), 'box_weight=-1'),
        (dict(objective=1.0), r'pruning\.objective must be a dict, not float'),
        (dict(objective=dict(alpha=-1)), r'pruning\.objective\.alpha=-1'),
        (dict(objective=dict(alpha='1')), r"pruning\.objective\.alpha='1'"),
        (dict(objective=dict(reconstruction=0, alpha=0)), 'both 0'),
        (dict(selection=64), r'pruning\.selection must be a dict, not int'),
        (dict(selection=dict(num_images=0)), r'pruning\.selection\.num_images=0'),
        (dict(selection=dict(num_images=None)), r'pruning\.selection\.num_images=None'),
        (dict(selection=dict(batch_size=1.5)), r'pruning\.selection\.batch_size=1\.5'),
        (dict(selection=dict(cache_gb=-1)), r'pruning\.selection\.cache_gb=-1'),
        (dict(selection=dict(cache_gb='2')), r"pruning\.selection\.cache_gb='2'"),
        (dict(finetune=10), r'pruning\.finetune must be a dict, not int'),
        (dict(finetune={}), r'pruning\.finetune: give either max_epochs or max_iters'),
        (dict(finetune=dict(max_epochs=1, max_iters=1)), r'pruning\.finetune: give either'),
        (dict(finetune=dict(max_epochs=-1)), r'pruning\.finetune\.max_epochs=-1'),
        (dict(finetune=dict(max_epochs=1.5)), r'pruning\.finetune\.max_epochs=1\.5'),
        (dict(retrain=dict(max_iters='9')), r"pruning\.retrain\.max_iters='9'"),
        (dict(retrain=dict(max_iters=9, lr=0)), r'pruning\.retrain\.lr=0'),
        (dict(retrain=dict(max_iters=9, lr='1e-3')), r"pruning\.retrain\.lr='1e-3'"),
        (dict(retrain=dict(max_iters=9, val_interval=-1)), r'pruning\.retrain\.val_interval=-1'),
        (dict(retrain=dict(max_iters=9, param_scheduler='cos')), r'pruning\.retrain\.param_sch'),
        (dict(retrain=dict(max_iters=9, param_scheduler=['cos'])), r'pruning\.retrain\.param_sch'),
    ],
)
def test_wrong_values_and_types(given, keys, message):
    with pytest.raises(CompressionError, match=message):
        read(given | keys)


@pytest.mark.parametrize('value', [None, 5, 'lcp', []])
def test_pruning_is_no_dict(value):
    with pytest.raises(CompressionError, match='pruning must be a dict'):
        PruningConfig.from_cfg(dict(pruning=value))


def test_iterations_of_a_phase():
    assert PhaseConfig(max_epochs=3).iterations(7) == 21
    assert PhaseConfig(max_iters=5).iterations(7) == 5
    assert PhaseConfig(max_epochs=0).iterations(7) == 0


class TestTimes:
    def test_the_schedule_is_stretched(self):
        phase = PhaseConfig(
            max_epochs=10,
            lr=0.1,
            param_scheduler=[
                dict(type='LinearLR', start_factor=0.1, begin=0, end=2),
                dict(type='MultiStepLR', milestones=[5, 8], gamma=0.5),
                dict(type='CosineAnnealingLR', T_max=10, eta_min=1e-4, end=None),
            ],
            val_interval=2,
        )
        before = copy.deepcopy(phase)
        longer = phase.times(3)
        assert phase == before
        assert (longer.max_epochs, longer.max_iters) == (30, None)
        assert (longer.lr, longer.val_interval) == (0.1, 2)
        assert longer.param_scheduler == [
            dict(type='LinearLR', start_factor=0.1, begin=0, end=2),  # warm-ups stay as they are
            dict(type='MultiStepLR', milestones=[15, 24], gamma=0.5),
            dict(type='CosineAnnealingLR', T_max=30, eta_min=1e-4, end=None),
        ]

    def test_iterations(self):
        schedule = dict(type='StepLR', step_size=4, by_epoch=False)
        longer = PhaseConfig(max_iters=12, param_scheduler=schedule).times(2)
        assert (longer.max_epochs, longer.max_iters) == (None, 24)
        assert longer.param_scheduler == [dict(schedule, step_size=8)]
        longer.check('here')

    @pytest.mark.parametrize('length', [dict(max_epochs=3), dict(max_iters=5)])
    def test_none_and_once(self, length):
        phase = PhaseConfig(**length)
        assert phase.times(1) == phase
        assert phase.times(0).iterations(epoch_length=7) == 0
        assert phase.times(4).iterations(7) == 4 * phase.iterations(7)


class TestTarget:
    def test_instead_of_a_ratio(self, given):
        given['target'] = dict(macs=0.5)
        config = read(given)
        assert config.ratio is None
        assert (config.target.cost, config.target.share, config.target.max_ratio) == (
            'macs',
            0.5,
            0.8,
        )
        given['ratio'] = None
        assert read(given).target == config.target

    @pytest.mark.parametrize('ratio', [0.5, {'a': 0.5}])
    def test_both(self, given, ratio):
        given.update(target=dict(params=0.5), ratio=ratio)
        with pytest.raises(CompressionError, match=r'set pruning\.ratio=None') as error:
            read(given)
        assert 'pruning.target=None' in str(error.value)

    def test_taken_back(self, given):
        given.update(target=None)
        assert (read(given).ratio, read(given).target) == (0.5, None)

    @pytest.mark.parametrize(
        ('key', 'nearest'),
        [('mac', 'macs'), ('param', 'params'), ('latency_tabel', 'latency_table')],
    )
    def test_misspelt(self, given, key, nearest):
        given['target'] = dict(macs=0.5, **{key: 0.5})
        with pytest.raises(CompressionError, match=rf"pruning\.target has .*'{key}'") as error:
            read(given)
        assert f'the nearest valid one is {nearest!r}' in str(error.value)

    def test_every_fragment_takes_one(self):
        """Without `ratio=None`, and a ratio without `target=None`."""
        tried = 0
        for path in sorted(FRAGMENT.parent.glob('*.py')):
            cfg = Config.fromfile(path)
            if 'criterion' not in cfg.pruning:
                continue
            cfg.merge_from_dict({'pruning.target.params': 0.3})
            config = PruningConfig.from_cfg(cfg)
            assert (config.ratio, config.target) == (None, Target(params=0.3))
            cfg = Config.fromfile(path)
            cfg.merge_from_dict({'pruning.ratio': 0.7})
            config = PruningConfig.from_cfg(cfg)
            assert (config.ratio, config.target) == (0.7, None)
            tried += 1
        assert tried == 13


class TestDefault:
    """What is asked for where neither ratio nor target is given."""

    @pytest.mark.parametrize('nothing', [{}, {'ratio': None, 'target': None}])
    def test_it_is_taken(self, given, nothing):
        given.update(nothing, default=dict(target=dict(macs=0.4)))
        config = read(given)
        assert (config.ratio, config.target) == (None, Target(macs=0.4))
        given['default'] = dict(ratio=0.3)
        config = read(given)
        assert (config.ratio, config.target) == (0.3, None)

    def test_what_is_given_goes_before_it(self, given):
        given['default'] = dict(target=dict(macs=0.4))
        assert (read({**given, 'ratio': 0.2}).ratio, read({**given, 'ratio': 0.2}).target) == (
            0.2,
            None,
        )
        given['target'] = dict(params=0.6)
        assert read(given).target == Target(params=0.6)

    def test_a_target_without_a_cost_has_its_cost(self, given):
        given.update(default=dict(target=dict(macs=0.4)), target=dict(max_ratio=0.9))
        assert read(given).target == Target(macs=0.4, max_ratio=0.9)
        given['default'] = dict(ratio=0.5)
        with pytest.raises(CompressionError, match=r'exactly one of macs, params and latency'):
            read(given)

    @pytest.mark.parametrize('default', [{}, dict(ratio=0.5, target=dict(macs=0.5))])
    def test_it_is_one_of_the_two(self, given, default):
        given['default'] = default
        with pytest.raises(CompressionError, match=r'pruning\.default must give exactly one'):
            read(given)

    def test_of_the_fragments(self):
        """The paper's a ratio of single groups in the backbone, ours half of the detector."""
        for path in sorted(FRAGMENT.parent.glob('*.py')):
            cfg = Config.fromfile(path)
            if 'criterion' not in cfg.pruning:
                continue
            config = PruningConfig.from_cfg(cfg)
            if path.stem in ('lcp', 'lcp_vgg16', 'lcp_r50', 'dcp', 'thinet'):
                assert (config.ratio, config.target, config.channel_divisor) == (0.5, None, 1)
                assert (config.layers, config.kinds) == (r'^backbone\.', ('single',))
            else:
                assert (config.ratio, config.target) == (None, Target(macs=0.5))
                assert config.takes_all and set(config.kinds) == set(KINDS)
                assert config.channel_divisor == 'auto'


@pytest.mark.parametrize('divisor', ['eight', '8', 0, 2.5, True])
def test_channel_divisor_out_of_range(given, divisor):
    given['channel_divisor'] = divisor
    with pytest.raises(CompressionError, match=r'pruning\.channel_divisor='):
        read(given)


class TestKinds:
    def test_default_and_order(self, given):
        assert read(given).kinds == ('single',)
        given['kinds'] = ['shared', 'single']
        assert read(given).kinds == ['shared', 'single']

    @pytest.mark.parametrize(
        ('kinds', 'message'),
        [
            (['single', 'couple'], r"no kind 'couple'; the nearest is 'coupled'.*shared"),
            (['shard'], r"nearest is 'shared'"),
            ([3], r'no kind 3'),
            ([], r'pruning\.kinds=\[\] must be a list'),
            ('single', r"pruning\.kinds='single' must be a list of single, coupled, shared"),
        ],
    )
    def test_wrong_ones(self, given, kinds, message):
        given['kinds'] = kinds
        with pytest.raises(CompressionError, match=message):
            read(given)

    def test_regions(self, given):
        assert read(given).selection.regions == 128
        given['selection'] = dict(regions=0)
        with pytest.raises(CompressionError, match=r'pruning\.selection\.regions=0'):
            read(given)


def test_copies_are_not_tried_where_something_trains_along(given):
    given['target'] = dict(macs=0.5, spread='auto')
    with pytest.raises(CompressionError, match=r"spread='auto' prunes copies without training"):
        read(given).check_trials()
    given['attachment'] = None
    read(given).check_trials()
    assert read(given).target.spreads[0] == 1.25
