"""YOLOX's candidates, against mmdet's own prediction without NMS."""

import torch

from mmdet_lcp.export.postprocess.yolox import YOLOXPostprocess

from .candidates import EVERYTHING, META, SIZE, build_head, maps, same_candidates


def test_the_best_class_of_each_alone():
    head = build_head(
        'YOLOXHead', num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1,
        strides=(8, 16), test_cfg=dict(EVERYTHING, score_thr=0.2),
    )  # fmt: skip
    outputs = maps(3, 4, 1)
    (expected,) = head.predict_by_feat(*outputs, batch_img_metas=[META], with_nms=False)
    decode = YOLOXPostprocess(head, (SIZE, SIZE))
    found = decode.select(outputs)
    scores = torch.zeros(1, found.scores.shape[1], 3)
    scores.scatter_(2, found.labels[..., None], found.scores[..., None])
    same_candidates(found.boxes, scores, expected)
    assert 0 < len(expected) < 80  # the threshold lets some pass
    boxes, scores = decode.decoded(outputs)
    assert boxes.shape == (1, 80, 4) and ((scores > 0).sum(2) == 1).all()
    torch.testing.assert_close(scores.amax(2)[0], _all_scores(outputs))


def _all_scores(outputs):
    classes, sure = (
        torch.cat([m.flatten(2) for m in outputs[kind]], 2)[0].sigmoid() for kind in (0, 2)
    )
    return (classes * sure).amax(0)
