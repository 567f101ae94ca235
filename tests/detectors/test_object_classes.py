"""How many classes a detector tells apart."""

import detectors
import pytest
from mmengine.model import MMDistributedDataParallel
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.detectors.object_classes import box_head, count_classes


@pytest.mark.parametrize('family', ['retinanet', 'faster_rcnn', 'cascade_rcnn', 'yolox'])
def test_the_classes_of_the_data(family):
    assert count_classes(detectors.tiny_detector(family)) == detectors.CLASSES


def test_a_wrapped_detector():
    wrapped = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = detectors.tiny_detector('retinanet')
    assert count_classes(wrapped) == detectors.CLASSES


def test_a_cascades_first_stage():
    detector = detectors.tiny_detector('cascade_rcnn')
    assert box_head(detector.roi_head) is detector.roi_head.bbox_head[0]


def test_a_head_that_does_not_say():
    with pytest.raises(CompressionError, match=r'neither bbox_head nor .* of Sequential tells'):
        count_classes(nn.Sequential())
