"""RepPoints' candidates, against mmdet's own prediction without NMS."""

from mmdet_lcp.export.postprocess.reppoints import RepPointsPostprocess

from .candidates import META, SIZE, build_head, maps, same_candidates


def test_boxes_are_in_strides_from_the_points():
    head = build_head(
        'RepPointsHead', num_classes=3, in_channels=8, feat_channels=8, point_feat_channels=8,
        stacked_convs=1, point_strides=[8, 16], norm_cfg=None,
    )  # fmt: skip
    outputs = maps(3, 4, spread=2.0)
    (expected,) = head.predict_by_feat(*outputs, batch_img_metas=[META], with_nms=False)
    assert RepPointsPostprocess.fits(head)
    same_candidates(*RepPointsPostprocess(head, (SIZE, SIZE)).decoded(outputs), expected)
