"""TOOD: the head's forward has boxes, in strides, and scores already."""

from mmdet.models.dense_heads import TOODHead
from torch import nn

from mmdet_lcp.export.postprocess.levels import DensePostprocess, Level, rows


class TOODPostprocess(DensePostprocess):
    """Boxes are not clipped."""

    any_batch = False  # its forward repeats the anchors once an image

    @staticmethod
    def fits(head: nn.Module) -> bool:
        """Whether the head predicts as `TOODHead` does."""
        own = type(head)
        return (
            isinstance(head, TOODHead)
            and own._predict_by_feat_single is TOODHead._predict_by_feat_single
        )

    def levels(self, outputs: tuple) -> list[Level]:
        """See `DensePostprocess`."""
        strides = self.head.prior_generator.strides
        return [
            Level(rows(box, 4) * stride[0], rows(score, self.head.cls_out_channels))
            for score, box, stride in zip(*outputs, strides, strict=True)
        ]
