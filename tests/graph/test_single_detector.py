"""Models of several detectors are refused, with the place of the detector inside."""

import detectors
import pytest
from mmdet.models.detectors import SoftTeacher

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import find_groups
from mmdet_lcp.graph.single_detector import check_single, check_single_config
from mmdet_lcp.pruning.network import check_network


@pytest.mark.parametrize(
    'check', [check_single, check_network, lambda m: find_groups(m, (64, 64))]
)
def test_a_semi_supervised_detector(check):
    model = SoftTeacher(detectors.tiny_model('faster_rcnn'), semi_train_cfg={})
    with pytest.raises(CompressionError, match=r'two detectors.* model=the .* net\.teacher$'):
        check(model)
    check_single(model.student)


def test_a_config_of_one():
    detector = detectors.tiny_model('faster_rcnn')
    for name in ('SoftTeacher', 'mmdet.SemiBaseDetector'):
        with pytest.raises(CompressionError, match='two detectors'):
            check_single_config(dict(type=name, detector=detector))
    for fine in (detector, dict(type='NoSuchDetector'), {}, None):
        check_single_config(fine)
