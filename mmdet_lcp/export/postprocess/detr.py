"""DETR and its descendants: the best queries; there is no NMS.

DETR, Conditional DETR, DAB-DETR, Deformable DETR, DINO.
"""

import torch
from mmdet.models.dense_heads import DETRHead
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import nn

from mmdet_lcp.export.postprocess.levels import DensePostprocess, Level


class DETRPostprocess(DensePostprocess):
    """Boxes are parts of the image; with softmax a query has one class, with sigmoid several."""

    names = ('all_cls_scores', 'all_bbox_preds')
    any_batch = False  # the transformers' masks are of the images that are traced
    with_nms = False

    @staticmethod
    def fits(head: nn.Module) -> bool:
        """Whether the head predicts as `DETRHead` does."""
        own = type(head)
        return (
            isinstance(head, DETRHead)
            and own._predict_by_feat_single is DETRHead._predict_by_feat_single
        )

    def levels(self, outputs: tuple) -> list[Level]:
        """See `DensePostprocess`; of the last layer of the decoder."""
        logits, boxes = outputs[0][-1], outputs[1][-1]
        boxes = bbox_cxcywh_to_xyxy(boxes)
        sides = boxes.new_tensor([self.width, self.height] * 2)
        boxes = self.clip(boxes * sides)
        if self.head.loss_cls.use_sigmoid:
            return [Level(boxes, logits.sigmoid()[..., : self.head.num_classes])]
        scores = logits.softmax(-1)[..., :-1]
        first = scores.argmax(-1, keepdim=True)
        own = torch.arange(int(scores.shape[-1])) == first
        return [Level(boxes, torch.where(own, scores, torch.zeros_like(scores)))]

    def choices(self, level: Level) -> int:
        """See `DensePostprocess`: with softmax a query is one detection."""
        return super().choices(level) if self.head.loss_cls.use_sigmoid else level.boxes.shape[1]
