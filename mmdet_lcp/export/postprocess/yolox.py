"""YOLOX: of each candidate its best class alone takes part; there is no `nms_pre`."""

import torch
from mmdet.models.dense_heads import YOLOXHead
from torch import Tensor, nn

from mmdet_lcp.export.nms import Boxes
from mmdet_lcp.export.postprocess.levels import DensePostprocess, Level, rows


class YOLOXPostprocess(DensePostprocess):
    """Score: class times objectness; boxes are not clipped."""

    names = ('cls_score', 'bbox_pred', 'objectness')
    reads_nms_pre = False

    @staticmethod
    def fits(head: nn.Module) -> bool:
        """Whether the head predicts as `YOLOXHead` does."""
        own = type(head)
        return isinstance(head, YOLOXHead) and own.predict_by_feat is YOLOXHead.predict_by_feat

    def levels(self, outputs: tuple) -> list[Level]:
        """See `DensePostprocess`; the classes that are not the best have score 0."""
        found = []
        for score, box, sure, priors in zip(
            *outputs, self.priors(outputs[0], with_stride=True), strict=True
        ):
            boxes = self.head._bbox_decode(priors, rows(box, 4))
            scores = rows(score, self.head.cls_out_channels).sigmoid()
            scores = scores * rows(sure, 1).sigmoid()
            found.append(Level(boxes, scores))
        return found

    def decoded(self, outputs: tuple) -> tuple[Tensor, Tensor]:
        """See `DensePostprocess`."""
        boxes, scores = super().decoded(outputs)
        first = scores.argmax(-1, keepdim=True)
        best = torch.arange(int(scores.shape[-1])) == first
        return boxes, torch.where(best, scores, torch.zeros_like(scores))

    def select(self, outputs: tuple) -> Boxes:
        """See `DensePostprocess`."""
        levels = self.levels(outputs)
        scores, labels = torch.cat([level.scores for level in levels], 1).max(2)
        passing = torch.where(scores >= self.thresholds.score, scores, torch.zeros_like(scores))
        return Boxes(torch.cat([level.boxes for level in levels], 1), passing, labels)
