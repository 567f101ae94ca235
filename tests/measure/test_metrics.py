import math

import pytest

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.metrics import (
    found_nothing,
    is_number,
    main_metric,
    metric_at_half,
    number,
    with_zeros,
)


@pytest.mark.parametrize(
    'keys, expected',
    [
        (['pascal_voc/AP50', 'pascal_voc/mAP'], 'pascal_voc/mAP'),
        (['coco/bbox_mAP_50', 'coco/bbox_mAP_75', 'coco/bbox_mAP'], 'coco/bbox_mAP'),
        (['coco/segm_mAP', 'coco/bbox_mAP_50', 'coco/bbox_mAP'], 'coco/bbox_mAP'),
        (['pascal_voc/AP75', 'pascal_voc/AP50'], 'pascal_voc/AP50'),
        (['coco/segm_mAP_50', 'coco/bbox_mAP_50'], 'coco/bbox_mAP_50'),
        (['loss', 'x/mAP'], 'x/mAP'),
        (['x/recall'], 'x/recall'),
    ],
)
def test_main_metric(keys, expected):
    assert main_metric(dict.fromkeys(keys, 0.5) | {'text': 'AP50'}) == expected


def test_no_metric():
    with pytest.raises(CompressionError, match='val_evaluator'):
        main_metric({'a': 'text'})


@pytest.mark.parametrize(
    'keys, expected',
    [
        (['coco/segm_mAP_50', 'coco/bbox_mAP', 'coco/bbox_mAP_50'], 'coco/bbox_mAP_50'),
        (['coco/segm_mAP', 'coco/segm_mAP_50'], 'coco/segm_mAP_50'),
        (['pascal_voc/mAP', 'pascal_voc/AP50', 'pascal_voc/AP55'], 'pascal_voc/AP50'),
        (['x/mAP'], None),
        ([], None),
    ],
)
def test_metric_at_half(keys, expected):
    assert metric_at_half(dict.fromkeys(keys, 0.5) | {'text_AP50': 'good'}) == expected


def test_numbers():
    assert is_number(1) and is_number(0.5) and not is_number(True) and not is_number('1')
    assert number(1) == 1.0 and math.isnan(number('1')) and number(None, None) is None


class TestNothingFound:
    def test_is_zero_in_every_metric_of_another(self):
        others = [{}, {'x/mAP': 0.4, 'x/mAP_s': -1, 'x/name': 'a'}]
        assert with_zeros({}, others) == {'x/mAP': 0.0, 'x/mAP_s': -1.0}
        assert with_zeros({'x/name': 'b'}, others)['x/mAP'] == 0

    def test_what_was_told_stays(self):
        assert with_zeros({'x/mAP': 0.1}, [{'x/mAP': 0.4, 'x/AP50': 0.6}]) == {'x/mAP': 0.1}
        assert with_zeros({}, [{}, {'a': 'b'}]) == {}

    @pytest.mark.parametrize(
        ('metrics', 'nothing'),
        [
            ({'x/mAP': 0.0, 'x/mAP_s': -1}, True),
            ({'x/mAP': 0.0, 'x/AP50': 0.001}, False),
            ({}, False),
            ({'x': 'a'}, False),
        ],
    )
    def test_is_known_by_its_zeros(self, metrics, nothing):
        assert found_nothing(metrics) is nothing
