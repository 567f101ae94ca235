"""The zoo's detectors at a small size: each trains a step, and its pruning config is read."""

import copy
import re
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp.coverage.synthetic import synthetic_batch
from mmdet_lcp.pruning.config import PruningConfig

register_all_modules()

ROOT = Path(__file__).parents[2] / 'configs' / 'zoo'
NAMES = sorted(path.name.split('_prune')[0] for path in ROOT.glob('*_prune_txlpbc.py'))


def test_every_dense_detector_has_its_pruning_config():
    assert (
        sorted(
            path.name.removesuffix('_txlpbc.py')
            for path in ROOT.glob('*.py')
            if '_prune_' not in path.name and not re.search('36e|compare', path.name)
        )
        == NAMES
    )
    assert len(NAMES) == 6


@pytest.mark.parametrize('name', NAMES)
def test_it_trains_a_step_on_images_of_its_size(name):
    cfg = Config.fromfile(ROOT / f'{name}_txlpbc.py')
    torch.manual_seed(0)
    detector = MODELS.build(copy.deepcopy(cfg.model)).train()
    detector.init_weights()  # some parameters are whatever lies in memory before
    images, samples = synthetic_batch(2, cfg.image_size, detector)
    loss, _ = detector.parse_losses(detector.loss(images, samples))
    loss.backward()
    assert loss.isfinite()
    still = [n for n, p in detector.named_parameters() if p.requires_grad and p.grad is None]
    assert not still, still


@pytest.mark.parametrize('name', NAMES)
def test_every_file_that_it_names_lies_in_the_folder_of_the_data(name):
    """mmengine leaves its placeholder where a value of a base stands in an expression."""
    cfg = Config.fromfile(ROOT / f'{name}_txlpbc.py')
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.data_root == 'data/txlpbc/'
        assert re.fullmatch(rf'annotations/\w+_{split}\.json', dataset.ann_file)
        if split != 'train':
            assert cfg[f'{split}_evaluator'].ann_file == dataset.data_root + dataset.ann_file


@pytest.mark.parametrize('name', NAMES)
def test_half_of_the_whole_detector_is_asked_for(name):
    cfg = Config.fromfile(ROOT / f'{name}_prune_txlpbc.py')
    config = PruningConfig.from_cfg(cfg)
    assert config.target.macs == 0.5
    assert set(config.kinds) == {'single', 'coupled', 'shared'}
    assert cfg.load_from == f'work_dirs/{name}_txlpbc/epoch_{cfg.train_cfg.max_epochs}.pth'


def test_a_comparison_begins_where_its_longer_training_ends():
    cfg = Config.fromfile(ROOT / 'compare_yolox_tiny_txlpbc.py')
    dense = Config.fromfile(ROOT / 'yolox_tiny_36e_txlpbc.py')
    assert dense.model == cfg.model == Config.fromfile(ROOT / 'yolox_tiny_txlpbc.py').model
    epochs = dense.train_cfg.max_epochs
    assert cfg.load_from == f'work_dirs/yolox_tiny_36e_txlpbc/epoch_{epochs}.pth'
    config = PruningConfig.from_cfg(cfg)
    assert config.retrain.lr == dense.optim_wrapper.optimizer.lr
    assert config.target.macs == 0.5  # unless --macs says otherwise


def test_a_longer_training_ends_with_its_smallest_rate():
    cfg = Config.fromfile(ROOT / 'yolox_tiny_36e_txlpbc.py')
    cosine = cfg.param_scheduler[1]
    assert cosine.end == cosine.T_max == cfg.train_cfg.max_epochs == 36
    assert cfg.train_cfg.max_epochs % cfg.train_cfg.val_interval == 0
