"""YOLOv3's candidates, against mmdet's own prediction without NMS."""

import pytest

from mmdet_lcp.export.postprocess.yolov3 import YOLOV3Postprocess

from .candidates import EVERYTHING, META, SIZE, build_head, maps, same_candidates


@pytest.mark.parametrize('least', [-1, 0.5])
def test_little_objectness_goes_first(least):
    head = build_head(
        'YOLOV3Head', num_classes=3, in_channels=[8, 8], out_channels=[8, 8],
        anchor_generator=dict(
            type='YOLOAnchorGenerator', strides=[8, 16],
            base_sizes=[[(10, 13), (16, 30)], [(30, 61), (62, 45)]]),
        featmap_strides=[8, 16], test_cfg=dict(EVERYTHING, conf_thr=least),
    )  # fmt: skip
    outputs = maps(2 * 8)
    own = tuple([each.clone() for each in level] for level in outputs)  # it writes over them
    (expected,) = head.predict_by_feat(*own, batch_img_metas=[META], with_nms=False)
    assert YOLOV3Postprocess.fits(head)
    same_candidates(*YOLOV3Postprocess(head, (SIZE, SIZE)).decoded(outputs), expected)
    assert (len(expected) == 2 * 80 * 3) == (least < 0)
