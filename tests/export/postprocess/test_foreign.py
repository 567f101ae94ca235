"""Who wrote the functions that make detections."""

import pytest
from mmdet.models import FCOSHead, RetinaHead

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.postprocess.foreign import FUNCTIONS, check_own, foreign_function


def head(kind=FCOSHead, **functions):
    """A head of a class of this module, which overrides ``functions``; it is not initialised."""
    own = type('Own', (kind,), functions)
    return own.__new__(own)


def function(self):
    """One of this module."""


def test_a_head_that_overrides_none_is_mmdets():
    assert foreign_function(head()) is None
    assert foreign_function(head(RetinaHead, loss_by_feat=function)) is None
    check_own(head(), 'bbox_head')


@pytest.mark.parametrize('name', FUNCTIONS)
def test_each_function_counts(name):
    made = head(**{name: function})
    assert foreign_function(made) == name
    with pytest.raises(CompressionError) as error:
        check_own(made, 'roi_head.bbox_head')
    assert str(error.value).startswith('roi_head.bbox_head (Own) cannot be exported')
    assert f"overrides mmdet's {name}, " in str(error.value)


def test_one_that_is_inherited_from_elsewhere_counts():
    between = type('Between', (FCOSHead,), dict(predict_by_feat=function))
    assert foreign_function(head(between)) == 'predict_by_feat'
