"""What the benchmarks share: images to run on, and a detector with random weights."""

import copy
import os
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

from mmdet_lcp.datasets import generate_digits

ROOT = Path(__file__).parents[1]
ENV = 'MMDET_LCP_BCCD'
LOADERS = ('train', 'val', 'test')


def random_detector(cfg: Config, seed: int) -> nn.Module:
    """The config's detector with random weights of a sensible size; nothing is downloaded."""
    cfg.model.backbone.pop('init_cfg', None)
    torch.manual_seed(seed)
    detector = MODELS.build(copy.deepcopy(cfg.model))
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')  # a line for each parameter otherwise
    detector.init_weights()
    logger.setLevel(level)
    return detector


def find_bccd(given: str | None = None) -> Path | None:
    """The folder with the blood cell images (JPEGImages, Annotations, ImageSets).

    Args:
        given: what the user named, or ``None`` to look at $MMDET_LCP_BCCD, then data/BCCD.

    Raises:
        SystemExit: the folder that was named is none.
    """
    named = given or os.environ.get(ENV)
    if named:
        if not (Path(named) / 'ImageSets').is_dir():
            raise SystemExit(f'error: {named} is no BCCD folder: it holds no ImageSets/')
        return Path(named)
    usual = ROOT / 'data' / 'BCCD'
    return usual if (usual / 'ImageSets').is_dir() else None


def use_images(cfg: Config, given: str | None, folder: Path, sizes: dict[str, int]) -> str:
    """Point the data loaders of a ``*_bccd.py`` config to a few images that exist.

    Args:
        cfg: changed in place.
        given: what the user named, or ``None``.
        folder: where digits are written if there are no blood cells.
        sizes: number of images of ``'train'``, ``'val'`` and ``'test'``.

    Returns:
        What the images are, for people.
    """
    bccd = find_bccd(given)
    if bccd is not None:
        for split in LOADERS:
            dataset = cfg[f'{split}_dataloader'].dataset
            dataset.data_root = str(bccd) + os.sep
            dataset.indices = sizes[split]
        return f'blood cells of {bccd}'
    digits = folder / 'digits'
    generate_digits(digits, image_size=cfg.image_size, sizes=sizes)
    classes = tuple('0123456789')
    for split in LOADERS:
        loader = cfg[f'{split}_dataloader']
        keys: dict[str, Any] = dict(
            type='CocoDataset',
            data_root=str(digits) + os.sep,
            metainfo=dict(classes=classes),
            ann_file=f'annotations/{split}.json',
            data_prefix=dict(img=f'images/{split}/'),
            pipeline=loader.dataset.pipeline,
            test_mode=split != 'train',
        )
        loader.dataset = keys
        if split != 'train':
            annotations = str(digits / 'annotations' / f'{split}.json')
            cfg[f'{split}_evaluator'] = dict(
                type='CocoMetric', ann_file=annotations, metric='bbox'
            )
    cfg.model.bbox_head.num_classes = len(classes)
    return 'built-in digits'
