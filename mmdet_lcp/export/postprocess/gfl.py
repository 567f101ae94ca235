"""GFL and LD: each side of a box is the mean of a distribution over distances."""

from mmdet.models.dense_heads import GFLHead
from torch import nn

from mmdet_lcp.export.postprocess.levels import DensePostprocess, Level, decode_rows, rows


class GFLPostprocess(DensePostprocess):
    """The head's own integral, in strides, from the anchors' centres."""

    @staticmethod
    def fits(head: nn.Module) -> bool:
        """Whether the head predicts as `GFLHead` does."""
        own = type(head)
        return (
            isinstance(head, GFLHead)
            and own._predict_by_feat_single is GFLHead._predict_by_feat_single
        )

    def levels(self, outputs: tuple) -> list[Level]:
        """See `DensePostprocess`."""
        head, found = self.head, []
        strides = head.prior_generator.strides
        for score, spread, stride, priors in zip(
            *outputs, strides, self.priors(outputs[0]), strict=True
        ):
            values = rows(spread, 4 * (head.reg_max + 1))
            sides = head.integral(values) * stride[0]
            sides = sides.reshape(-1, int(values.shape[1]), 4)
            boxes = decode_rows(head.bbox_coder, head.anchor_center(priors), sides)
            if getattr(head.bbox_coder, 'clip_border', True):
                boxes = self.clip(boxes)
            found.append(Level(boxes, rows(score, head.cls_out_channels).sigmoid()))
        return found
