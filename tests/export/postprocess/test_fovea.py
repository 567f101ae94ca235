"""FoveaBox's candidates, against mmdet's own prediction without NMS."""

from mmdet_lcp.export.postprocess.fovea import FoveaPostprocess

from .candidates import META, SIZE, build_head, maps, same_candidates


def test_sides_grow_exponentially():
    head = build_head(
        'FoveaHead', num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1,
        strides=[8, 16], base_edge_list=[8, 16], scale_ranges=((1, 16), (8, 64)), norm_cfg=None,
    )  # fmt: skip
    outputs = maps(3, 4, spread=0.7)
    (expected,) = head.predict_by_feat(*outputs, batch_img_metas=[META], with_nms=False)
    assert FoveaPostprocess.fits(head)
    same_candidates(*FoveaPostprocess(head, (SIZE, SIZE)).decoded(outputs), expected)
