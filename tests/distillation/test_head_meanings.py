"""What is compared of two heads before their outputs are."""

import pytest
from made_detectors import HEADS, build, ssd_config
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.distillation.head_meanings import check_alike, coder_meaning, prior_meaning


def test_what_differs_is_shown():
    check_alike('numbers of classes', 3, 3)
    with pytest.raises(CompressionError, match=r'^mimic.head_outputs: the strides differ, 8 '):
        check_alike('strides', 8, 16)
    with pytest.raises(CompressionError) as caught:
        check_alike('priors', list(range(1000)), [])
    assert len(str(caught.value)) < 500


def test_coders():
    coder = dict(type='DeltaXYWHBBoxCoder', target_stds=(0.1, 0.1, 0.2, 0.2))
    one, other = (
        build(ssd_config(bbox_coder=dict(coder, **more))).bbox_head
        for more in ({}, dict(target_stds=(1.0, 1.0, 1.0, 1.0)))
    )
    assert coder_meaning(one) == ('DeltaXYWHBBoxCoder', (0.0,) * 4, (0.1, 0.1, 0.2, 0.2))
    assert coder_meaning(one) != coder_meaning(other)


def test_priors():
    boxes = prior_meaning(build(ssd_config()).bbox_head)
    points = prior_meaning(build(HEADS['FCOS']).bbox_head)
    assert boxes[0] == 'SSDAnchorGenerator' and [len(level) for level in boxes[2]] == [4, 6, 4]
    assert points[0] == 'MlvlPointGenerator' and points[2] == []
    assert [tuple(stride) for stride in points[1]] == [(8, 8), (16, 16), (32, 32)]


def test_no_head():
    assert coder_meaning(None) == coder_meaning(nn.Identity()) == ('NoneType', (), ())
    assert prior_meaning(None) == ('NoneType', [], [])
