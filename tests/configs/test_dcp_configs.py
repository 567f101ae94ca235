"""DCP's configs: LCP's training, another attachment and criterion."""

import copy
import inspect
import re
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp.auxiliary.discrimination_auxiliary import DiscriminationAuxiliary
from mmdet_lcp.graph import find_groups
from mmdet_lcp.pruning.config import KEY, PruningConfig
from mmdet_lcp.pruning.criteria import DCP
from mmdet_lcp.pruning.stages import choose_stages
from mmdet_lcp.pruning.updates import SGDUpdate

register_all_modules()

CONFIGS = Path(__file__).parents[2] / 'configs'
NAMES = [path.name for path in sorted((CONFIGS / 'dcp').glob('*.py'))]


def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / name)


def test_the_fragment():
    given = load('_base_/pruning/dcp.py')
    config = PruningConfig.from_cfg(given)
    assert isinstance(config.criterion, DCP)
    assert isinstance(config.attachment, DiscriminationAuxiliary)
    assert isinstance(config.update, SGDUpdate)
    assert (config.method, config.attachment.count, config.objective.alpha) == ('DCP', 3, 1.0)
    base = load('_base_/pruning/lcp.py')[KEY]
    changed = {key for key in given[KEY] if given[KEY][key] != base.get(key)}
    assert changed == {'method', 'attachment', 'criterion', 'update'}


@pytest.mark.parametrize('name', NAMES)
def test_the_training_is_that_of_lcp(name):
    cfg, base = load(f'dcp/{name}'), load(f'lcp/{name}')
    assert set(cfg) == set(base)
    assert all(cfg[key] == base[key] for key in cfg if key != KEY)
    changed = {key for key in cfg[KEY] if cfg[KEY][key] != base[KEY].get(key)}
    assert changed == {'method', 'attachment', 'criterion', 'update'}


@pytest.mark.parametrize('name', NAMES)
def test_every_part_can_be_read(name):
    cfg = load(f'dcp/{name}')
    detector = MODELS.build(copy.deepcopy(cfg.model))
    config = PruningConfig.from_cfg(cfg)
    stages, _ = choose_stages(detector, find_groups(detector, tuple(cfg.scale)), config)
    config.attachment.check(detector, stages)
    assert config.attachment.rounds(stages) == [4, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 0]
    for number, stage in enumerate(stages):
        config.criterion.check(detector, stage.group)
        attached = config.attachment.attach(detector, stages, number)
        assert attached.network.norm.num_features == (
            detector.get_submodule(attached.path).out_channels
        )


@pytest.mark.parametrize(
    ('option', 'read'),
    [
        (
            {'pruning.attachment.detector_losses': False},
            lambda p: not p.attachment.detector_losses,
        ),
        ({'pruning.criterion.channels_per_step': 1}, lambda p: p.criterion.channels_per_step == 1),
        ({'pruning.criterion.tolerance': 0.01}, lambda p: p.criterion.tolerance == 0.01),
        ({'pruning.objective.alpha': 0.0}, lambda p: p.objective.alpha == 0),
    ],
)
def test_switches_from_the_command_line(option, read):
    cfg = load('_base_/pruning/dcp.py')
    assert not read(PruningConfig.from_cfg(cfg))
    cfg.merge_from_dict(option)
    assert read(PruningConfig.from_cfg(cfg))


def test_readme_lists_every_config_and_every_key():
    readme = (CONFIGS / 'dcp' / 'README.md').read_text()
    assert NAMES
    for name in NAMES:
        assert f'({name})' in readme
    for kind, prefix in ((DCP, 'criterion'), (DiscriminationAuxiliary, 'attachment')):
        for key in inspect.signature(kind).parameters:
            assert re.search(rf'`{prefix}\.(\w+`, `\.)?{key}`', readme), f'{prefix}.{key}'
