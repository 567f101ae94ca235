"""Every config loads, builds its detector and, if it prunes, finds the groups that it should."""

import copy
import functools
import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups
from mmdet_lcp.measure.cost import module_macs
from mmdet_lcp.pruning import criteria
from mmdet_lcp.pruning.config import KEY, PruningConfig
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.stages import choose_stages
from mmdet_lcp.pruning.updates import NoUpdate
from mmdet_lcp.selection.config import SelectionConfig

register_all_modules()

CONFIGS = Path(__file__).parents[2] / 'configs'
# test_mimic_configs.py has students, others those of their name ...
ELSEWHERE = {'_base_', 'mimic', 'deep_compression', 'bdnn', 'zoo'}
NAMES = [
    str(path.relative_to(CONFIGS))
    for path in sorted(CONFIGS.rglob('*.py'))
    # ... and test_faster_rcnn_configs.py two-stage detectors
    if not ELSEWHERE & set(path.parts) and 'faster_rcnn' not in str(path)
]
ABLATIONS = [name for name in NAMES if name.startswith('lcp/ablations/')]
LCP = [name for name in NAMES if name.startswith('lcp/')]
PRUNING = [name for name in NAMES if not name.startswith('ssd/')]


@functools.cache
def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / name)


BUILT: dict[str, SimpleNamespace] = {}


def build(cfg: Config) -> SimpleNamespace:
    """The config's detector, built once for all configs with the same model."""
    key = repr((cfg.model.to_dict(), cfg.get('scale')))
    if key not in BUILT:
        torch.manual_seed(0)
        BUILT[key] = SimpleNamespace(
            detector=MODELS.build(copy.deepcopy(cfg.model)),  # it changes what it is given
            groups=None,
        )
    return BUILT[key]


def stages_of(cfg: Config, size: tuple[int, int] | None = None):
    """(detector, stages, skipped) of a pruning config; every model is traced once."""
    built = build(cfg)
    if built.groups is None:
        built.groups = find_groups(built.detector, size or tuple(cfg.scale))
    return built.detector, *choose_stages(
        built.detector, built.groups, PruningConfig.from_cfg(cfg)
    )


def expected_stages(name: str) -> int:
    if 'r18' in name:
        return 4 * 2  # blocks of two convolutions: the first one's output
    if 'r50' in name:
        return 1 + (3 + 4 + 6) * 2  # the stem, then two groups inside each bottleneck
    if 'mobilenet_v1' in name:
        return 1 + 1 + 2 + 2 + 6  # the first convolution, and the 1x1 of stages 1 to 4
    if 'shufflenet_v1' in name:
        return 4 + 8 + 2  # inside the units of stages 2 and 3, and the two kinds of streams
    if name == 'lcp/compare_ssd300_vgg16_bccd.py':
        return 2 + 2 + 3 + 3 + 3 + 2  # fc6 and fc7 too
    if name == 'lcp/compare_txlpbc.py':
        return 2 + 2 + 3 + 3 + 3 + 4  # the neck's extra levels too
    return 2 + 2 + 3 + 3 + 3  # VGG's convolutions


def test_all_are_found():
    assert len([n for n in NAMES if n.startswith('ssd/')]) == 20
    assert len(LCP) >= 18
    assert len(ABLATIONS) >= 6


@pytest.mark.parametrize('name', NAMES)
def test_builds_a_plain_detector(name):
    cfg = load(name)
    detector = build(cfg).detector
    assert type(detector).__module__.startswith('mmdet.')
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'optim_wrapper'):
        assert key in cfg
    assert (KEY in cfg) == ('runner_type' in cfg) == (name in PRUNING)


@pytest.mark.parametrize('name', [n for n in PRUNING if n != 'lcp/demo.py'])
def test_prunes_the_groups_it_should(name):
    cfg = load(name)
    detector, stages, skipped = stages_of(cfg)
    assert len(stages) == expected_stages(name)
    ratio = PruningConfig.from_cfg(cfg).ratio
    for stage in stages:
        assert stage.group.obstacle is None
        of_all = name == 'lcp/compare_txlpbc.py'
        assert stage.group.name.startswith(('backbone.', 'neck.') if of_all else 'backbone.')
        assert stage.keep == int(stage.group.channels * (1 - ratio) + 0.5)
        assert isinstance(detector.get_submodule(stage.group.consumers[0].path), torch.nn.Conv2d)
    # what is left alone in the backbone: the residual streams, and VGG's former FC layers
    reasons = [item.reason for item in skipped if item.name.startswith('backbone.')]
    if 'r50' in name:
        assert len(reasons) == 3 and all('write these channels together' in r for r in reasons)
    elif 'r18' in name:
        assert len(reasons) == 4 and all('write these channels together' in r for r in reasons)
    elif 'shufflenet_v1' in name:  # in each unit, what does not fit into three groups of runs
        assert len(reasons) == 12 and all('can only go all together' in r for r in reasons)
    elif 'ssd300_vgg16_prune' in name:
        assert reasons == ['pruning.stages does not list its stage'] * 2
    else:
        assert reasons == []


def test_the_demo_prunes_the_whole_detector():
    cfg = load('lcp/demo.py')
    _, stages, skipped = stages_of(cfg)
    assert PruningConfig.from_cfg(cfg).target.macs == 0.25
    # VGG's, and the two layers of the level behind it
    assert len(stages) == 2 + 2 + 3 + 3 + 3 + 2
    assert {item.reason for item in skipped} == {"its channels are the detector's outputs"}


@pytest.mark.parametrize('name', PRUNING)
def test_schedules_end_within_their_phase(name):
    pruning = load(name)[KEY]
    for phase in (pruning.finetune, pruning.retrain):
        for scheduler in phase.get('param_scheduler') or []:
            by_epoch = scheduler.get('by_epoch', True)
            length = phase.get('max_epochs') if by_epoch else phase.get('max_iters')
            assert length is not None, 'a scheduler counts what the phase does not'
            assert all(milestone < length for milestone in scheduler.get('milestones', []))


@pytest.mark.parametrize('name', [n for n in PRUNING if n != 'lcp/demo.py'])
def test_load_from_is_where_the_dense_config_ends(name):
    cfg = load(name)
    dense_name = Path(cfg.load_from).parent.name
    dense = load(f'ssd/{dense_name}.py')
    assert dense.model == cfg.model
    assert cfg.load_from == f'work_dirs/{dense_name}/epoch_{dense.train_cfg.max_epochs}.pth'


@pytest.mark.parametrize('backbone', ['vgg16', 'r50'])
@pytest.mark.parametrize('data', ['', '_coco'])
def test_an_epoch_is_one_pass(backbone, data):
    cfg = load(f'lcp/ssd300_{backbone}_prune{data}.py')
    dataset = cfg.train_dataloader.dataset
    assert dataset.type == 'RepeatDataset' and dataset.times == 1
    dense = load(f'ssd/ssd300_{backbone}{data or "_voc0712"}.py')
    assert dense.train_dataloader.dataset.times > 1
    assert dense.train_dataloader.dataset.dataset == dataset.dataset


def test_schedules_of_the_paper():
    vgg, r50 = (load(f'lcp/ssd300_{name}_prune.py')[KEY] for name in ('vgg16', 'r50'))

    def facts(phase, length):
        (scheduler,) = phase.param_scheduler
        assert scheduler.type == 'MultiStepLR' and 'gamma' not in scheduler  # a tenth
        return phase[length], phase.lr, list(scheduler.milestones)

    assert list(vgg.stages) == [1, 2, 3, 4, 5] and vgg.default == dict(ratio=0.5)
    assert facts(vgg.finetune, 'max_epochs') == (10, 1e-3, [5])
    assert facts(vgg.retrain, 'max_iters') == (60_000, 5e-4, [30_000, 45_000])
    assert list(r50.stages) == [1, 2, 3, 4] and r50.default == dict(ratio=0.5)
    assert facts(r50.finetune, 'max_epochs') == (15, 1e-3, [5, 10])
    assert facts(r50.retrain, 'max_iters') == (120_000, 1e-3, [80_000, 100_000])


@pytest.mark.parametrize('name', ABLATIONS)
def test_ablations_change_the_method_alone(name):
    base = load('lcp/ssd_narrow_vgg_prune_bccd.py')
    cfg = load(name)
    for key in cfg.keys() | base.keys():
        assert key == KEY or cfg.get(key) == base.get(key)
    changed = {key for key in cfg[KEY] if cfg[KEY][key] != base[KEY].get(key)}
    assert changed and changed <= {'attachment', 'criterion', 'objective'}


def test_half_of_the_channels_are_70_percent_of_the_macs():
    cfg = load('lcp/ssd300_vgg16_prune_bccd.py')
    detector, stages, _ = stages_of(cfg)
    groups = [stage.group for stage in stages]
    layers = [group.name for group in groups]
    before = module_macs(detector, tuple(cfg.scale))

    plan, totals = Plan(), axis_sizes(detector, groups)
    for stage in stages:
        assert 2 * stage.keep == stage.group.channels
        plan = plan.remove(stage.group, range(stage.keep, stage.group.channels), totals)
    pruned = apply_plan(MODELS.build(copy.deepcopy(cfg.model)), plan)
    after = module_macs(pruned, tuple(cfg.scale))
    for stage in stages:
        layer = pruned.get_submodule(stage.group.name)
        assert layer.out_channels == stage.keep == stage.group.channels // 2
    left = sum(after[path] for path in layers) / sum(before[path] for path in layers)
    assert 0.2 < left <= 0.3  # a quarter, but for the first layer's three inputs


@pytest.mark.parametrize(('name', 'share'), [('mobilenet_v1', 0.4), ('shufflenet_v1', 0.5)])
def test_compact_backbones_really_shrink(name, share):
    cfg = load(f'lcp/ssd_{name}_prune_bccd.py')
    detector, stages, _ = stages_of(cfg)
    groups = [stage.group for stage in stages]
    plan, totals = Plan(), axis_sizes(detector, groups)
    for stage in stages:
        PruningConfig.from_cfg(cfg).criterion.check(detector, stage.group)
        plan = plan.remove(stage.group, range(stage.keep, stage.group.channels), totals)
    pruned = apply_plan(copy.deepcopy(detector), plan)
    after, before = (sum(module_macs(d, tuple(cfg.scale)).values()) for d in (pruned, detector))
    assert after < share * before


def test_a_users_own_config_inherits_one_fragment(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = ['mmdet::ssd/ssd300_coco.py', 'mmdet_lcp::_base_/pruning/lcp.py']\n")
    cfg = Config.fromfile(path)
    assert cfg.runner_type == 'mmdet_lcp.PruningRunner'
    assert set(cfg) - set(load('ssd/ssd300_vgg16_coco.py')) <= {'runner_type', KEY, 'input_size'}
    _, stages, _ = stages_of(cfg, (300, 300))
    assert len(stages) == 13 + 2  # VGG-16 and its two former FC layers
    assert [stage.group.name for stage in stages][:2] == [
        'backbone.features.0',
        'backbone.features.2',
    ]


def test_a_fragment_of_the_paper_is_enough_too(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        "_base_ = ['mmdet::ssd/ssd300_coco.py', 'mmdet_lcp::_base_/pruning/lcp_vgg16.py']\n"
        'pruning = dict(ratio=0.75)\n'
    )
    _, stages, skipped = stages_of(Config.fromfile(path), (300, 300))
    assert len(stages) == 13
    assert all(4 * stage.keep == stage.group.channels for stage in stages)
    assert [item.reason for item in skipped][:2] == ['pruning.stages does not list its stage'] * 2


SWEEPS = {
    'l1_norm': criteria.L1Norm,
    'l2_norm': criteria.L2Norm,
    'fpgm': criteria.FPGM,
    'bn_scale': criteria.BNScale,
    'taylor': criteria.Taylor,
    'random': criteria.RandomChannels,
}


@pytest.mark.parametrize('name', SWEEPS)
def test_methods_that_score_the_detector_as_it_is(name, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        f'_base_ = [{str(CONFIGS / "ssd/ssd_narrow_vgg_bccd.py")!r}, '
        f"'mmdet_lcp::_base_/pruning/{name}.py']\n"
    )
    cfg = Config.fromfile(path)
    assert cfg.runner_type == 'mmdet_lcp.PruningRunner'
    config = PruningConfig.from_cfg(cfg)
    assert type(config.criterion) is SWEEPS[name]
    assert type(config.update) is NoUpdate
    assert config.attachment is None
    assert config.finetune.iterations(epoch_length=100) == 0
    base = Config.fromfile(CONFIGS / '_base_/pruning/lcp.py')[KEY]
    assert cfg[KEY].selection == base.selection
    # as long as LCP's, at the detector's own rate and not the paper's
    assert {**cfg[KEY].retrain, 'lr': base.retrain.lr} == base.retrain
    assert config.retrain.rate(own=2e-4) is None
    assert 'ratio' not in cfg[KEY] and 'target' not in cfg[KEY]  # so that either may be given
    detector, stages, _ = stages_of(cfg)
    # the backbone, and the four layers behind it; the heads' outputs stay
    assert len(stages) == expected_stages('lcp/ssd_narrow_vgg_prune_bccd.py') + 4
    for stage in stages:
        config.criterion.check(detector, stage.group)


def test_methods_have_names_of_their_own():
    names = {Config.fromfile(CONFIGS / f'_base_/pruning/{name}.py')[KEY].method for name in SWEEPS}
    assert len(names) == len(SWEEPS)


def test_batch_norm_scales_need_batch_norms():
    detector, stages, _ = stages_of(load('lcp/ssd300_vgg16_prune_bccd.py'))
    for stage in stages:
        with pytest.raises(CompressionError, match=re.escape(stage.group.name)):
            criteria.BNScale().check(detector, stage.group)


@pytest.mark.parametrize(
    ('options', 'read'),
    [
        ({'pruning.ratio': 0.75}, lambda p: p.ratio == 0.75),
        ({'pruning.objective.alpha': 10}, lambda p: p.objective.alpha == 10),
        ({'pruning.objective.reconstruction': 0.0}, lambda p: p.objective.reconstruction == 0),
        ({'pruning.criterion.reference': 'full'}, lambda p: p.criterion.reference == 'full'),
        ({'pruning.attachment': None}, lambda p: p.attachment is None),
        ({'pruning.criterion.greedy_steps': 5}, lambda p: p.criterion.greedy_steps == 5),
        (
            {'pruning.attachment.box_weight': 5.0},
            lambda p: p.attachment._network['box_weight'] == 5,
        ),
    ],
)
def test_switches_from_the_command_line(options, read):
    cfg = Config.fromfile(CONFIGS / 'lcp' / 'ssd_narrow_vgg_prune_bccd.py')
    assert not read(PruningConfig.from_cfg(cfg))
    cfg.merge_from_dict(options)
    assert read(PruningConfig.from_cfg(cfg))


def test_readme_lists_every_config_and_every_key():
    readme = (CONFIGS / 'lcp' / 'README.md').read_text()
    for name in LCP:
        assert f'({name.removeprefix("lcp/")})' in readme
    for kind in (PruningConfig, PhaseConfig, SelectionConfig, Objective, criteria.LCP):
        for key in inspect.signature(kind).parameters:
            assert re.search(rf'[`.]{key}`|`{key}\.', readme), f'{kind.__name__}.{key}'
