"""What is found out once by building a detector and its data sets."""

from dataclasses import replace

import pytest
from mmengine.config import Config

from mmdet_lcp.comparison.ground import prepare_ground
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.targets.cost_model import macs_model
from mmdet_lcp.pruning.targets.target import Target


@pytest.fixture(scope='module')
def cfg(config) -> Config:
    return Config.fromfile(config)


@pytest.fixture(scope='module')
def ground(cfg):
    return prepare_ground(cfg)


def test_an_epoch_and_an_image(ground):
    assert ground.epoch_length == 3  # 6 training images, 2 at once
    assert ground.image_size == (64, 64)
    assert not ground.detector.training


def test_stages_are_the_chosen_groups(ground, cfg):
    stages = ground.stages(PruningConfig.from_cfg(cfg))
    assert [stage.group.name for stage in stages] == [
        'backbone.stage4.0.conv',
        'backbone.stage4.1.conv',
    ]
    # an eighth of VGG-16's 512 channels, half of which stay
    assert [(stage.group.channels, stage.keep) for stage in stages] == [(64, 32)] * 2
    assert len(ground.groups) > len(stages)


def test_a_share_of_the_multiply_accumulates(ground, cfg):
    stages = ground.stages(PruningConfig.from_cfg(cfg))
    ground.check_target(Target(macs=0.97), stages)
    with pytest.raises(CompressionError, match=r'target\.macs=0\.01 cannot be reached'):
        ground.check_target(Target(macs=0.01), stages)


def test_groups_are_counted_once_for_all_shares(ground, cfg, monkeypatch):
    counted = []

    def count(detector, groups, size):
        counted.append([group.name for group in groups])
        return macs_model(detector, groups, size)

    monkeypatch.setattr('mmdet_lcp.comparison.ground.macs_model', count)
    stages = ground.stages(PruningConfig.from_cfg(cfg))
    fresh = replace(ground, models={})
    for groups in (stages, stages, stages[:1], stages):
        fresh.check_target(Target(macs=0.99), groups)
    names = [stage.group.name for stage in stages]
    assert counted == [names, names[:1]]
    with pytest.raises(CompressionError, match=r'target\.macs=0\.01 cannot be reached'):
        fresh.check_target(Target(macs=0.01), stages)


def test_an_epoch_without_a_batch(cfg):
    changed = Config(cfg.to_dict())
    changed.train_dataloader.update(batch_size=32, drop_last=True)
    with pytest.raises(CompressionError, match=r'train_dataloader yields no batch: .*6 images'):
        prepare_ground(changed)


@pytest.mark.parametrize('missing', ['train_dataloader', 'test_dataloader val_dataloader'])
def test_without_data(cfg, missing):
    left = {key: value for key, value in cfg.to_dict().items() if key not in missing.split()}
    with pytest.raises(CompressionError, match='the config needs a `train_dataloader`, and a'):
        prepare_ground(Config(left))


def test_validation_images_will_do(cfg, ground):
    left = {key: value for key, value in cfg.to_dict().items() if key != 'test_dataloader'}
    assert prepare_ground(Config(left)).image_size == ground.image_size


@pytest.mark.parametrize('key', ['train_dataloader', 'test_dataloader'])
def test_a_missing_annotation_file_is_named_with_its_key(cfg, key):
    changed = Config(cfg.to_dict())
    changed[key].dataset.ann_file = 'nowhere.json'
    with pytest.raises(CompressionError, match=rf'(?s){key}.*nowhere\.json'):
        prepare_ground(changed)
