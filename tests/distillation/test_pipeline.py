"""Which pipelines show an image always alike."""

import pytest
from mmengine.config import Config

from mmdet_lcp import CompressionError
from mmdet_lcp.distillation.pipeline import check_deterministic

FIXED = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64)),
    dict(type='PackDetInputs'),
]


def cfg(pipeline, **more):
    dataset = dict(type='CocoDataset', pipeline=pipeline)
    return Config(dict(train_dataloader=dict(dataset=dataset), model=dict(**more)))


def wrapped(kind, steps, **more):
    inner = dict(type='CocoDataset', pipeline=steps)
    return Config(dict(train_dataloader=dict(dataset=dict(type=kind, dataset=inner, **more))))


def fails(config, *words):
    with pytest.raises(CompressionError) as caught:
        check_deterministic(config, 'mimic.teacher.cache')
    for word in ('mimic.teacher.cache=None', *words):
        assert word in str(caught.value)


def test_fixed():
    check_deterministic(cfg(FIXED), 'x')
    check_deterministic(wrapped('RepeatDataset', FIXED, times=3), 'x')
    both = dict(type='ConcatDataset', datasets=[dict(pipeline=FIXED), dict(pipeline=FIXED)])
    check_deterministic(Config(dict(train_dataloader=dict(dataset=both))), 'x')


@pytest.mark.parametrize(
    'step',
    [
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='RandomApply', transforms=[dict(type='MinIoURandomCrop')]),
        dict(type='MyOwnTransform'),
    ],
)
def test_random(step):
    fails(cfg([*FIXED[:2], step, *FIXED[2:]]), step['type'])


def test_all_are_named():
    pipeline = [FIXED[0], dict(type='RandomFlip'), dict(type='Mosaic'), FIXED[3]]
    fails(cfg(pipeline), 'RandomFlip, Mosaic')


def test_inside_wrappers():
    fails(wrapped('RepeatDataset', [*FIXED, dict(type='RandomFlip')]), 'RandomFlip')
    fails(wrapped('MultiImageMixDataset', FIXED, pipeline=FIXED), 'MultiImageMixDataset')
    part = dict(pipeline=[dict(type='RandomFlip')])
    both = dict(type='ConcatDataset', datasets=[dict(pipeline=FIXED), part])
    fails(Config(dict(train_dataloader=dict(dataset=both))), 'RandomFlip')


def test_batches_that_are_changed():
    preprocessor = dict(batch_augments=[dict(type='BatchSyncRandomResize')])
    fails(cfg(FIXED, data_preprocessor=preprocessor), 'model.data_preprocessor.batch_augments')


def test_the_datas_own_pipelines():
    """Those of the built-in digits and of the blood cells augment."""
    from tiny import ROOT

    for name in ('ssd_narrow_vgg_digits', 'ssd_narrow_vgg_bccd'):
        fails(Config.fromfile(ROOT / 'configs' / 'ssd' / f'{name}.py'), 'PhotoMetricDistortion')
