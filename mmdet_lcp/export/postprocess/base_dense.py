"""Heads that predict as mmdet's `BaseDenseHead` does: the many that differ in their forward only.

SSD, RetinaNet, FreeAnchor, FSAF, ATSS, DDOD, VFNet, FCOS, NAS-FCOS, AutoAssign, YOLOF, RTMDet and
others, somebody's own among them: what counts is that the three functions of `BaseDenseHead` are
not overridden.
"""

from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from torch import Tensor, nn

from mmdet_lcp.export.postprocess.levels import DensePostprocess, Level, decode_rows, rows

SHARED = ('predict', 'predict_by_feat', '_predict_by_feat_single', '_bbox_post_process')


class BaseDensePostprocess(DensePostprocess):
    """Sigmoid or softmax, the coder's boxes, a centerness or the like."""

    @staticmethod
    def fits(head: nn.Module) -> bool:
        """Whether the head predicts with `BaseDenseHead`'s own functions."""
        return isinstance(head, BaseDenseHead) and all(
            getattr(type(head), name) is getattr(BaseDenseHead, name) for name in SHARED
        )

    def levels(self, outputs: tuple) -> list[Level]:
        """See `DensePostprocess`."""
        head = self.head
        scores, deltas, *factors = outputs
        factors = factors[0] if factors else [None] * len(scores)
        found = []
        for score, delta, factor, priors in zip(
            scores, deltas, factors, self.priors(scores), strict=True
        ):
            boxes = decode_rows(head.bbox_coder, priors, rows(delta, head.bbox_coder.encode_size))
            if getattr(head.bbox_coder, 'clip_border', True):
                boxes = self.clip(boxes)
            if factor is not None:
                factor = rows(factor, 1)[..., 0].sigmoid()
            found.append(Level(boxes, self._activated(score), factor))
        return found

    def _activated(self, score: Tensor) -> Tensor:
        head = self.head
        logits = rows(score, head.cls_out_channels)
        if getattr(head.loss_cls, 'custom_cls_channels', False):
            return head.loss_cls.get_activation(logits)
        return logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[..., :-1]
