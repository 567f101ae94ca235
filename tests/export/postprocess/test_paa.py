"""PAA's detections, against mmdet's own, with voting and without."""

import pytest
import torch

from mmdet_lcp.export.postprocess.paa import PAAPostprocess, pairwise_iou

from .candidates import ANCHORS, EVERYTHING, META, SIZE, build_head, maps


@pytest.mark.parametrize('most', [20, 10000])
@pytest.mark.parametrize('voting', [True, False])
def test_what_is_left_after_nms(voting, most):
    head = build_head(
        'PAAHead', num_classes=3, in_channels=8, feat_channels=32, stacked_convs=1,
        reg_decoded_bbox=False, score_voting=voting, anchor_generator=ANCHORS,
        test_cfg=dict(EVERYTHING, nms_pre=most, score_thr=0.4, max_per_img=50),
    )  # fmt: skip
    scores, deltas, ious = maps(3, 4, 1)
    # boxes that have an area within the image: mmdet votes nan for others
    outputs = scores, [0.03 * each for each in deltas], ious
    (expected,) = head.predict_by_feat(*outputs, batch_img_metas=[META])
    assert PAAPostprocess.fits(head)
    found = PAAPostprocess(head, (SIZE, SIZE)).detections(outputs)
    there = found.scores[0] > 0
    assert int(there.sum()) == len(expected) > 5
    order = expected.scores.argsort(descending=True)  # after voting mmdet has class by class
    torch.testing.assert_close(found.scores[0, there], expected.scores[order])
    torch.testing.assert_close(found.labels[0, there], expected.labels[order])
    torch.testing.assert_close(found.boxes[0, there], expected.bboxes[order], atol=1e-3, rtol=1e-4)


def test_overlaps():
    one = torch.tensor([[[0.0, 0.0, 10.0, 10.0]]])
    other = torch.tensor(
        [[[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0], [20.0, 0.0, 30.0, 10.0]]]
    )
    torch.testing.assert_close(pairwise_iou(one, other), torch.tensor([[[1.0, 1 / 3, 0.0]]]))
