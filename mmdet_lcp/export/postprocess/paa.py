"""PAA and LAD: `nms_pre` by the best class, geometric means of scores, and voting after NMS."""

import torch
from mmdet.models.dense_heads import PAAHead
from torch import Tensor, nn

from mmdet_lcp.export.nms import Boxes, suppress
from mmdet_lcp.export.postprocess.levels import DensePostprocess, Level, decode_rows, rows

LEAST_IOU, SPREAD = 0.01, 0.025  # of score voting, as in mmdet


class PAAPostprocess(DensePostprocess):
    """A box is the mean of the candidates of its class around it, weighted by score and overlap.

    Source: Kim and Lee, "Probabilistic Anchor Assignment with IoU Prediction for Object
    Detection", 2020, section 3.4; mmdet's `PAAHead.score_voting`.
    """

    @staticmethod
    def fits(head: nn.Module) -> bool:
        """Whether the head predicts as `PAAHead` does."""
        own = type(head)
        return (
            isinstance(head, PAAHead)
            and own._predict_by_feat_single is PAAHead._predict_by_feat_single
        )

    def levels(self, outputs: tuple) -> list[Level]:
        """See `DensePostprocess`; scores are final, there is no factor."""
        head, found = self.head, []
        for score, delta, factor, priors in zip(*outputs, self.priors(outputs[0]), strict=True):
            boxes = decode_rows(head.bbox_coder, priors, rows(delta, head.bbox_coder.encode_size))
            if getattr(head.bbox_coder, 'clip_border', True):
                boxes = self.clip(boxes)
            scores = rows(score, head.cls_out_channels).sigmoid() * rows(factor, 1).sigmoid()
            found.append(Level(boxes, scores.sqrt()))
        return found

    def detections(self, outputs: tuple) -> Boxes:
        """See `DensePostprocess`."""
        chosen = [self._best_priors(level) for level in self.levels(outputs)]
        boxes = torch.cat([level.boxes for level in chosen], 1)
        scores = self._passing(torch.cat([level.scores for level in chosen], 1))
        count, classes = int(scores.shape[1]), int(scores.shape[2])
        flat = Boxes(
            boxes[:, :, None].expand(-1, -1, classes, -1).reshape(-1, count * classes, 4),
            scores.flatten(1),
            torch.arange(classes).repeat(count).expand_as(scores.flatten(1)),
        )
        limits = self.thresholds
        found = suppress(flat, limits.iou, limits.max_per_img, limits.class_agnostic)
        return self._voted(found, boxes, scores) if self.head.with_score_voting else found

    def _best_priors(self, level: Level) -> Level:
        count, most = int(level.scores.shape[1]), self.thresholds.nms_pre
        if not 0 < most < count:
            return level
        _, index = level.scores.amax(2).topk(most, dim=1)
        index = index[..., None]
        return Level(
            level.boxes.gather(1, index.expand(-1, -1, 4)),
            level.scores.gather(1, index.expand(-1, -1, int(level.scores.shape[2]))),
        )

    @staticmethod
    def _voted(found: Boxes, boxes: Tensor, scores: Tensor) -> Boxes:
        """`boxes` (N, A, 4) and passing `scores` (N, A, C) vote."""
        ious = pairwise_iou(found.boxes, boxes)
        which = found.labels.clamp(min=0)[..., None].expand(-1, -1, int(boxes.shape[1]))
        own = scores.transpose(1, 2).gather(1, which)  # (N, K, A)
        weights = torch.exp(-((1 - ious) ** 2) / SPREAD) * own
        weights = torch.where(ious > LEAST_IOU, weights, torch.zeros_like(weights))
        total = weights.sum(2, keepdim=True)
        mean = torch.matmul(weights, boxes) / total.clamp(min=1e-30)
        there = (found.scores > 0)[..., None] & (total > 0)
        return found._replace(boxes=torch.where(there, mean, found.boxes))


def pairwise_iou(one: Tensor, other: Tensor) -> Tensor:
    """IoU of (N, K, 4) and (N, A, 4): (N, K, A), as mmdet's `bbox_overlaps`."""
    low = torch.maximum(one[:, :, None, :2], other[:, None, :, :2])
    high = torch.minimum(one[:, :, None, 2:], other[:, None, :, 2:])
    sides = (high - low).clamp(min=0)
    common = sides[..., 0] * sides[..., 1]
    sides = (each[..., 2:] - each[..., :2] for each in (one, other))
    first, second = (each[..., 0] * each[..., 1] for each in sides)
    return common / (first[:, :, None] + second[:, None] - common).clamp(min=1e-6)
