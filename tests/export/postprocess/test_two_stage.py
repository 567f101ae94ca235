"""Which heads of two stages are followed; what they detect is checked with the whole file."""

import detectors
import pytest

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.graph import ExportGraph
from mmdet_lcp.export.postprocess import postprocess_of

SIZE = (128, 128)


@pytest.mark.parametrize('form', ['end-to-end', 'decoded'])
@pytest.mark.parametrize(
    ('family', 'message'),
    [
        ('htc', r'roi_head \(HybridTaskCascadeRoIHead\).*boxes and masks as StandardRoIHead'),
        ('point_rend', r'roi_head \(PointRendRoIHead\).*boxes and masks as StandardRoIHead'),
        ('panoptic_fpn', 'PanopticFPN cannot be exported with its post-processing: it predicts'),
        (
            'condinst',
            "CondInst cannot be exported.*way of its own.*--raw writes the bbox_head's outputs",
        ),
        ('cascade_rpn', r'rpn_head \(CascadeRPNHead\).*proposals of RPNHead can'),
    ],
)
def test_who_predicts_in_another_way_is_refused_by_name(family, form, message):
    with pytest.raises(CompressionError, match=message):
        ExportGraph(detectors.tiny_detector(family), SIZE, form)


@pytest.mark.parametrize('function', ['predict_by_feat', '_bbox_post_process'])
@pytest.mark.parametrize('name', ['rpn_head', 'roi_head.bbox_head', 'roi_head.mask_head'])
def test_a_head_with_a_function_of_somebody_elses(name, function):
    """Also where the functions that it is known by are its parent's."""
    detector = detectors.tiny_detector('mask_rcnn')
    head = detector.get_submodule(name)
    head.__class__ = type('OwnHead', (type(head),), {function: lambda self, *a, **k: None})
    words = rf"{name} \(OwnHead\) cannot be exported.*overrides mmdet's {function}"
    with pytest.raises(CompressionError, match=words):
        postprocess_of(detector, SIZE)


@pytest.mark.parametrize('function', ['predict', '_bbox_post_process'])
def test_a_dense_head_with_a_function_of_somebody_elses(function):
    detector = detectors.tiny_detector('yolox')
    head = detector.bbox_head
    head.__class__ = type('OwnHead', (type(head),), {function: lambda self, *a, **k: None})
    with pytest.raises(CompressionError, match=r'OwnHead\) cannot be exported.*way of its own'):
        postprocess_of(detector, SIZE)


def test_raw_of_two_stages_is_told_of_no_way_that_is_refused_too():
    with pytest.raises(CompressionError, match='HybridTaskCascadeRoIHead'):
        ExportGraph(detectors.tiny_detector('htc'), SIZE, 'raw')
    with pytest.raises(CompressionError, match='Leave --raw out, or take --decoded'):
        ExportGraph(detectors.tiny_detector('mask_rcnn'), SIZE, 'raw')


def test_of_one_without_masks_nobody_asks_how_it_predicts_them():
    """A detector that changes only the masks of its parent has none here."""

    def predict_mask(self, *args, **keys):
        raise NotImplementedError

    detector = detectors.tiny_detector('faster_rcnn')
    head = detector.roi_head
    head.__class__ = type('OwnMasks', (type(head),), {'predict_mask': predict_mask})
    assert not postprocess_of(detector, SIZE).with_masks
