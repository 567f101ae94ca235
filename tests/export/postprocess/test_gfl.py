"""GFL's candidates, against mmdet's own prediction without NMS."""

from mmdet_lcp.export.postprocess.gfl import GFLPostprocess

from .candidates import ANCHORS, META, SIZE, build_head, maps, same_candidates


def test_sides_are_means_of_distributions():
    head = build_head(
        'GFLHead', num_classes=3, in_channels=8, feat_channels=32, stacked_convs=1,
        anchor_generator=ANCHORS, reg_max=4,
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0),
    )  # fmt: skip
    outputs = maps(3, 4 * 5)
    (expected,) = head.predict_by_feat(*outputs, batch_img_metas=[META], with_nms=False)
    assert GFLPostprocess.fits(head)
    same_candidates(*GFLPostprocess(head, (SIZE, SIZE)).decoded(outputs), expected)
