"""DETR's detections, against mmdet's own, with softmax and with a sigmoid for each class."""

import pytest
import torch

from mmdet_lcp.errors import CompressionError
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


@pytest.mark.parametrize(('kind', 'most'), [('softmax', 10), ('sigmoid', 30)])
def test_more_than_there_are(kind, most):
    """10 queries; with a sigmoid each may be of all 3 classes. mmdet fails above that, too."""
    head = build_head(
        'DETRHead', num_classes=3, embed_dims=8, loss_cls=LOSSES[kind],
        test_cfg=dict(max_per_img=most + 1),
    )  # fmt: skip
    outputs = torch.randn(2, 1, 10, 3 + (kind == 'softmax')), torch.rand(2, 1, 10, 4)
    with pytest.raises(RuntimeError, match='out of range'):
        head.predict_by_feat(*outputs, batch_img_metas=[META], rescale=False)
    postprocess = DETRPostprocess(head, (SIZE, SIZE))
    words = rf'test_cfg.max_per_img={most + 1}: bbox_head \(DETRHead\).* take at most {most} '
    for form in (postprocess.detections, postprocess.decoded):
        with pytest.raises(CompressionError, match=words):
            form(outputs)
    head.test_cfg.max_per_img = most
    assert DETRPostprocess(head, (SIZE, SIZE)).detections(outputs).scores.shape == (1, most)
