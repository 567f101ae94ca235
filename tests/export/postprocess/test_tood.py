"""TOOD's candidates, against mmdet's own prediction without NMS."""

from mmdet_lcp.export.postprocess.tood import TOODPostprocess

from .candidates import ANCHORS, META, SIZE, build_head, maps, same_candidates


def test_boxes_are_in_strides():
    head = build_head(
        'TOODHead', num_classes=3, in_channels=8, feat_channels=32, stacked_convs=2,
        anchor_generator=ANCHORS,
        initial_loss_cls=dict(type='FocalLoss', use_sigmoid=True),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0),
    )  # fmt: skip
    scores, boxes = maps(3, 4, spread=2.0)
    outputs = [each.sigmoid() for each in scores], boxes  # its forward has scores already
    (expected,) = head.predict_by_feat(*outputs, batch_img_metas=[META], with_nms=False)
    assert TOODPostprocess.fits(head)
    same_candidates(*TOODPostprocess(head, (SIZE, SIZE)).decoded(outputs), expected)
