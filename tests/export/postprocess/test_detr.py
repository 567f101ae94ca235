"""DETR's detections, against mmdet's own, with softmax and with a sigmoid for each class."""

import pytest
import torch

from mmdet_lcp.export.postprocess.detr import DETRPostprocess

from .candidates import META, SIZE, build_head

LOSSES = {
    'softmax': dict(type='CrossEntropyLoss'),
    'sigmoid': dict(type='FocalLoss', use_sigmoid=True),
}


@pytest.mark.parametrize('kind', LOSSES)
def test_the_best_queries_of_the_last_layer(kind):
    head = build_head(
        'DETRHead', num_classes=3, embed_dims=8, loss_cls=LOSSES[kind],
        test_cfg=dict(max_per_img=7),
    )  # fmt: skip
    logits = torch.randn(2, 1, 10, 3 + (kind == 'softmax'))
    boxes = torch.rand(2, 1, 10, 4)
    (expected,) = head.predict_by_feat(logits, boxes, batch_img_metas=[META], rescale=False)
    assert DETRPostprocess.fits(head)
    found = DETRPostprocess(head, (SIZE, SIZE)).detections((logits, boxes))
    torch.testing.assert_close(found.scores[0], expected.scores)
    torch.testing.assert_close(found.labels[0], expected.labels)
    torch.testing.assert_close(found.boxes[0], expected.bboxes, atol=1e-3, rtol=1e-4)
