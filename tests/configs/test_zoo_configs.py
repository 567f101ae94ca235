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
            if '_prune_' not in path.name and not re.search('36e|compare|aquarium7', path.name)
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


# Each comparison's dense detector, and what that one begins with.
COMPARED = {
    'compare_yolox_tiny_txlpbc': ('yolox_tiny_36e_txlpbc', None),
    'compare_yolox_tiny_aquarium7': ('yolox_tiny_aquarium7', 'yolox_tiny_36e_txlpbc'),
}


def last_checkpoint(name: str) -> str:
    epochs = Config.fromfile(ROOT / f'{name}.py').train_cfg.max_epochs
    return f'work_dirs/{name}/epoch_{epochs}.pth'


@pytest.mark.parametrize('name', COMPARED)
def test_a_comparison_begins_where_its_longer_training_ends(name):
    cfg = Config.fromfile(ROOT / f'{name}.py')
    before, earlier = COMPARED[name]
    dense = Config.fromfile(ROOT / f'{before}.py')
    assert dense.model == cfg.model
    assert cfg.load_from == last_checkpoint(before)
    assert dense.load_from == (earlier and last_checkpoint(earlier))
    config = PruningConfig.from_cfg(cfg)
    assert config.retrain.lr == dense.optim_wrapper.optimizer.lr
    assert config.target.macs == 0.5  # unless --macs says otherwise


@pytest.mark.parametrize('name', [dense for dense, _ in COMPARED.values()])
def test_a_longer_training_ends_with_its_smallest_rate(name):
    cfg = Config.fromfile(ROOT / f'{name}.py')
    cosine = cfg.param_scheduler[1]
    assert cosine.end == cosine.T_max == cfg.train_cfg.max_epochs > 30
    assert cfg.train_cfg.max_epochs % cfg.train_cfg.val_interval == 0


def test_the_other_data_want_nothing_else_of_the_detector():
    cells = Config.fromfile(ROOT / 'yolox_tiny_txlpbc.py').model
    cfg = Config.fromfile(ROOT / 'yolox_tiny_aquarium7.py')
    assert cfg.model.bbox_head.pop('num_classes') == len(cfg.metainfo.classes) == 7
    assert cells.bbox_head.pop('num_classes') == 3
    assert cfg.model == cells
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.data_root == 'data/aquarium7/'
        assert dataset.ann_file == f'annotations/instances_{split}.json'
        if split != 'train':
            assert cfg[f'{split}_evaluator'].ann_file == dataset.data_root + dataset.ann_file
