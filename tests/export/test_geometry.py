"""Sizes and fillings, from pipelines as mmdet's configs have them."""

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config

from mmdet_lcp import CompressionError
from mmdet_lcp.export.geometry import Geometry, evaluation_datasets, geometry_of


def preprocessor(divisor: int = 1, **keys):
    keys = {'mean': [10.0, 20.0, 30.0], 'std': [1.0] * 3, 'bgr_to_rgb': True, **keys}
    return MODELS.build(dict(type='mmdet.DetDataPreprocessor', pad_size_divisor=divisor, **keys))


def config(*steps: dict, key: str = 'test_dataloader') -> Config:
    return Config({key: dict(dataset=dict(type='CocoDataset', pipeline=list(steps)))})


KEEP = dict(type='Resize', scale=(1333, 800), keep_ratio=True)
SQUARE = dict(type='Resize', scale=(640, 640), keep_ratio=True)
GREY = dict(type='Pad', size=(640, 512), pad_val=dict(img=(114, 114, 114)))


@pytest.mark.parametrize(
    ('cfg', 'divisor', 'expected'),
    [
        # (width, height) in the config; mmdet pads with the mean, given blue first
        (config(KEEP), 32, Geometry(800, 1344, 'letterbox', [30, 20, 10])),
        (config(dict(KEEP, scale=(800, 1333))), 1, Geometry(800, 1333, 'letterbox', [30, 20, 10])),
        (config(dict(KEEP, keep_ratio=False)), 1, Geometry(800, 1333)),
        (config(dict(KEEP, keep_ratio=False, type='mmdet.Resize')), 32, Geometry(800, 1344)),
        (config(SQUARE, GREY), 1, Geometry(512, 640, 'letterbox', [114] * 3)),
        (config(SQUARE, key='val_dataloader'), 1, Geometry(640, 640, 'letterbox', [30, 20, 10])),
        (Config(dict(test_pipeline=[dict(SQUARE, keep_ratio=False)])), 1, Geometry(640, 640)),
    ],
)
def test_sizes(cfg, divisor, expected):
    assert geometry_of(cfg, preprocessor(divisor)) == expected


def test_a_size_of_ones_own():
    assert geometry_of(config(SQUARE), preprocessor(32), (64, 96)).size == (64, 96)
    with pytest.raises(CompressionError, match=r'64 x 100: this detector takes multiples of 32'):
        geometry_of(config(SQUARE), preprocessor(32), (64, 100))


@pytest.mark.parametrize(
    'cfg',
    [
        Config(dict(test_dataloader=None, val_dataloader=None)),
        Config({}),
        config(dict(type='Resize', scale=[(640, 640), (320, 320)])),
        config(dict(type='LoadImageFromFile')),
    ],
)
def test_where_no_size_is_said(cfg):
    with pytest.raises(CompressionError, match=r'does not say how large.*--size HEIGHT WIDTH'):
        geometry_of(cfg, preprocessor())
    assert geometry_of(cfg, preprocessor(), (32, 64)).size == (32, 64)


def test_data_sets_inside_of_others():
    """A ConcatDataset has the pipeline of its first; a loader may be None or one of several."""
    leaves = [dict(type='CocoDataset', ann_file=str(n), pipeline=[SQUARE]) for n in range(3)]
    inner = dict(type='ConcatDataset', datasets=leaves[:2])
    whole = dict(type='RepeatDataset', times=2, dataset=inner)
    cfg = Config(
        dict(test_dataloader=None, val_dataloader=[dict(dataset=whole), dict(dataset=leaves[2])])
    )
    assert [data['ann_file'] for data in evaluation_datasets(cfg)] == ['0', '1', '2']
    assert geometry_of(cfg, preprocessor()).size == (640, 640)
