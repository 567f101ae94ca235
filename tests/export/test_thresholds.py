"""Thresholds as mmdet reads them, and changed where it reads them."""

import copy

import detectors
import pytest
from made_detectors import build, two_stage_config
from mmengine.config import ConfigDict

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.thresholds import (
    Thresholds,
    change_thresholds,
    final_test_cfg,
    read_thresholds,
)

CFG = ConfigDict(
    score_thr=0.02, nms=dict(type='nms', iou_threshold=0.45), nms_pre=100, max_per_img=20
)


def read(**changes):
    cfg = copy.deepcopy(CFG)
    for key, value in changes.items():  # `update` would merge
        cfg[key] = value
    return read_thresholds(cfg, 'bbox_head (X)')


def test_all_of_them():
    expected = Thresholds(0.02, 0.45, 100, 20, False, 'nms')
    assert read() == expected
    assert expected.as_dict()['iou'] == 0.45


def test_what_is_not_there():
    bare = read_thresholds(ConfigDict(), 'bbox_head')
    assert bare == Thresholds(0.0, 1.0, -1, 300, False, 'nms')


def test_soft_nms():
    assert read(nms=dict(type='soft_nms')).iou == 0.3  # mmcv's default
    assert read(nms=dict(type='soft_nms')).nms == 'soft_nms'
    with pytest.raises(CompressionError, match=r"nms.method='gaussian'.*only 'linear'"):
        read(nms=dict(type='soft_nms', method='gaussian'))


def test_no_nms():
    found = read_thresholds(CFG, 'bbox_head', with_nms=False)
    assert (found.nms, found.iou, found.nms_pre) == ('none', 1.0, 20)


@pytest.mark.parametrize(
    ('nms', 'message'),
    [
        (dict(type='nms_match'), "'nms_match', which ONNX does not have"),
        (dict(type='nms', max_num=3), 'test_cfg.nms.max_num cannot be exported'),
    ],
)
def test_other_kinds(nms, message):
    with pytest.raises(CompressionError, match=message):
        read(nms=nms)


class TestChange:
    @pytest.fixture
    def detector(self):
        return build(two_stage_config())

    def test_where_mmdet_reads_them(self, detector):
        """The RoI head's, but for the number of candidates, which is the RPN's."""
        change_thresholds(detector, score_thr=0.3, iou_thr=0.6, nms_pre=11, max_per_img=5)
        cfg = detector.roi_head.test_cfg
        assert final_test_cfg(detector) is cfg
        assert (cfg.score_thr, cfg.nms.iou_threshold, cfg.max_per_img) == (0.3, 0.6, 5)
        assert detector.rpn_head.test_cfg.nms_pre == 11 and cfg.nms_pre != 11

    def test_none_leaves_it(self, detector):
        before = copy.deepcopy(detector.roi_head.test_cfg)
        change_thresholds(detector)
        assert detector.roi_head.test_cfg == before

    def test_of_one_without_a_box_head(self):
        with pytest.raises(CompressionError, match=r'^SOLO has no bbox_head: it reports no boxes'):
            change_thresholds(detectors.tiny_detector('solo'))

    @pytest.mark.parametrize('given', [dict(score_thr=1.5), dict(iou_thr=-1), dict(max_per_img=0)])
    def test_out_of_range(self, detector, given):
        (name,) = given
        with pytest.raises(CompressionError, match=f'^{name}='):
            change_thresholds(detector, **given)
