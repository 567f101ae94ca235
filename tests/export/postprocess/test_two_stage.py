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
        ('condinst', 'CondInst cannot be exported.*in a way of its own.*--raw writes its outputs'),
        ('cascade_rpn', r'rpn_head \(CascadeRPNHead\).*proposals of RPNHead can'),
    ],
)
def test_who_predicts_in_another_way_is_refused_by_name(family, form, message):
    with pytest.raises(CompressionError, match=message):
        ExportGraph(detectors.tiny_detector(family), SIZE, form)


def test_of_one_without_masks_nobody_asks_how_it_predicts_them():
    """A detector that changes only the masks of its parent has none here."""

    def predict_mask(self, *args, **keys):
        raise NotImplementedError

    detector = detectors.tiny_detector('faster_rcnn')
    head = detector.roi_head
    head.__class__ = type('OwnMasks', (type(head),), {'predict_mask': predict_mask})
    assert not postprocess_of(detector, SIZE).with_masks
