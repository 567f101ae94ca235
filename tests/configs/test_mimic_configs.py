"""Every config of a student loads, builds a plain detector, and fits the teacher that it names."""

import copy
import dataclasses
import functools
import re
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp.distillation.config import MimicConfig, TapConfig, TeacherConfig, read_mimic_of
from mmdet_lcp.distillation.setup import MimicSetup
from mmdet_lcp.measure.cost import detector_cost
from mmdet_lcp.pruning.config import PruningConfig

register_all_modules()

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
NAMES = sorted(path.stem for path in (CONFIGS / 'mimic').glob('*.py'))
COMPARE = [name for name in NAMES if name.startswith('compare_')]
STUDENTS = [name for name in NAMES if name not in COMPARE]
TAUGHT = [name for name in STUDENTS if not name.endswith('_scratch')]
MAPS = [name for name in STUDENTS if name.endswith('_map')]


@functools.cache
def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / 'mimic' / f'{name}.py')


@functools.cache
def teacher_cfg(name: str) -> Config:
    return Config.fromfile(ROOT / load(name).mimic.teacher.config)


def build(model):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(model))


def size_of(cfg: Config) -> tuple[int, int]:
    return tuple(cfg.scale)[::-1]


def test_all_are_there():
    kinds = ('scratch', 'mimic', 'map')
    for data in ('bccd', 'digits'):
        for detector in ('ssd', 'faster_rcnn'):
            for width in ('half', 'quarter'):
                for kind in kinds:
                    assert f'{detector}_{width}_width_{data}_{kind}' in NAMES
        for kind in kinds:
            assert f'ssd_half_input_{data}_{kind}' in NAMES
        for kind in kinds[:2]:
            assert f'ssd_half_input_shallow_{data}_{kind}' in NAMES
        assert f'faster_rcnn_quarter_width_{data}_stage2' in NAMES
        for backbone in ('mobilenet_v1', 'shufflenet_v1'):
            for kind in kinds[:2]:
                assert f'ssd_{backbone}_{data}_{kind}' in NAMES
    assert len(COMPARE) == 2


@pytest.mark.parametrize('name', STUDENTS)
def test_is_a_plain_detector(name):
    cfg = load(name)
    assert type(build(cfg.model)).__module__.startswith('mmdet.')
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'optim_wrapper'):
        assert key in cfg
    taught = name in TAUGHT
    assert (cfg.get('runner_type') == 'mmdet_lcp.MimicRunner') == ('mimic' in cfg) == taught


@pytest.mark.parametrize('name', [name for name in TAUGHT if name not in MAPS])
def test_fits_its_teacher(name, tmp_path):
    """With the teacher of its config, random weights."""
    cfg = load(name)
    config = read_mimic_of(cfg)
    other = teacher_cfg(name)
    steps = other.train_cfg.max_epochs
    stem = Path(config.teacher.config).stem
    assert config.teacher.checkpoint == f'work_dirs/{stem}/epoch_{steps}.pth'
    config.teacher = None
    setup = MimicSetup(config, 'mimic', cfg, tmp_path, build(other.model))
    model = setup.attach(build(cfg.model), size_of(cfg), seed=0)
    assert len(model.mimic.bridges) == {'ssd': 4 if 'bccd' in name else 3}.get(name[:3], 4)
    assert cfg.model.data_preprocessor == other.model.data_preprocessor


@pytest.mark.parametrize('name', TAUGHT)
def test_differs_from_scratch_by_the_teacher_alone(name):
    kind = name.rpartition('_')[2]
    alone = load(name.replace(f'_{kind}', '_scratch'))
    cfg = load(name)
    changed = {key for key in {*cfg, *alone} if cfg.get(key) != alone.get(key)}
    allowed = {'runner_type', 'mimic'}
    if kind == 'stage2':
        allowed |= {'load_from', 'train_cfg', 'optim_wrapper', 'param_scheduler'}
    if 'half_input' in name:  # the teacher sees the images of its own size
        allowed |= {'train_pipeline', 'train_dataloader', 'large'}
    assert changed <= allowed


@pytest.mark.parametrize('name', MAPS)
def test_the_map_is_the_only_difference(name):
    cfg, other = (load(n).to_dict() for n in (name, name.replace('_map', '_mimic')))
    assert cfg['mimic'].pop('regions') == 'map'
    assert other['mimic'].pop('regions') == 'proposals'
    assert cfg == other


@pytest.mark.parametrize('name', [n for n in STUDENTS if n.endswith('_scratch')])
def test_is_as_small_as_it_says(name):
    cfg = load(name)
    taught = name.replace('_scratch', '_mimic')
    other = teacher_cfg(taught)
    own = detector_cost(build(cfg.model).eval(), size_of(cfg))
    full = detector_cost(build(other.model).eval(), size_of(other))
    share = own['macs'] / full['macs']
    if 'half_width' in name:
        assert 0.2 < share < 0.35
    elif 'quarter_width' in name or 'shufflenet' in name:
        assert share < 0.15
    elif 'mobilenet' in name:
        assert share < 0.25
    else:
        assert size_of(cfg)[0] * 2 == size_of(other)[0]
        assert share < 0.5


@pytest.mark.parametrize('name', [n for n in TAUGHT if 'half_input' in n])
def test_half_input(name):
    cfg, other = load(name), teacher_cfg(name)
    assert cfg.mimic.image_scale == 0.5
    sizes = {
        kind: [s['scale'][0] for s in pipeline if s['type'] == 'Resize']
        for kind, pipeline in (
            ('train', cfg.train_dataloader.dataset.pipeline),
            ('test', cfg.test_dataloader.dataset.pipeline),
            ('teacher', other.train_dataloader.dataset.pipeline),
        )
    }
    assert sizes['train'] == sizes['teacher'] == [2 * sizes['test'][0]]
    assert cfg.train_dataloader.dataset.pipeline == other.train_dataloader.dataset.pipeline
    # default boxes: the same places and shapes, in fractions of the image
    boxes = []
    for config in (cfg, other):
        head, size = build(config.model).bbox_head, size_of(config)[0]
        whole = size_of(other)[0]
        grids = [(-(-whole // stride),) * 2 for stride in (8, 16, 32, 64)]
        grids = grids[: len(head.prior_generator.strides)]
        found = head.prior_generator.grid_priors(grids, device='cpu')
        boxes.append(torch.cat(found) / size)
    torch.testing.assert_close(boxes[0], boxes[1])


@pytest.mark.parametrize('name', [n for n in TAUGHT if n.endswith('stage2')])
def test_stage_2_begins_where_stage_1_ends(name):
    cfg = load(name)
    stage_1 = name.replace('stage2', 'mimic')
    assert cfg.load_from == f'work_dirs/{stage_1}/student.pth'
    assert cfg.model == load(stage_1).model
    assert cfg.mimic.head_outputs > 0
    assert cfg.optim_wrapper.optimizer.lr == load(stage_1).optim_wrapper.optimizer.lr / 10
    (scheduler,) = cfg.param_scheduler
    assert scheduler.end == scheduler.T_max == cfg.train_cfg.max_epochs


@pytest.mark.parametrize('name', COMPARE)
def test_grounds_of_a_comparison(name):
    cfg = load(name)
    config = PruningConfig.from_cfg(cfg)
    assert config.retrain.mimic is not None
    base = Config.fromfile(CONFIGS / 'lcp' / f'{name}.py')
    cfg = copy.deepcopy(cfg.to_dict())
    cfg['pruning']['retrain'].pop('mimic')
    assert cfg == base.to_dict()


def test_a_users_own_student_inherits_one_fragment(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        "_base_ = ['mmdet_lcp::ssd/ssd_r18_narrow_bccd.py', "
        "'mmdet_lcp::_base_/distill/mimic.py']\n"
        "mimic = dict(teacher=dict(config='large.py', checkpoint='large.pth'))\n"
    )
    cfg = Config.fromfile(path)
    assert cfg.runner_type == 'mmdet_lcp.MimicRunner'
    assert read_mimic_of(cfg).teacher.config == 'large.py'


def test_readme_lists_every_config_and_every_key():
    readme = (CONFIGS / 'mimic' / 'README.md').read_text()
    for name in NAMES:
        kind = name.rpartition('_')[2]
        stem = name.removesuffix(f'_{kind}')
        assert f'({name}.py)' in readme or re.search(rf'`{stem}_`.*`{kind}`', readme), name
    for kind, prefix in ((MimicConfig, ''), (TeacherConfig, 'teacher.'), (TapConfig, 'taps.')):
        for field in dataclasses.fields(kind):
            assert re.search(rf'`(mimic\.)?{prefix}{field.name}`', readme), prefix + field.name
