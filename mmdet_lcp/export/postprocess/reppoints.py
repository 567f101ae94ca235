"""RepPoints: boxes around points, in strides from the grid's points."""

from mmdet.models.dense_heads import RepPointsHead
from torch import nn

from mmdet_lcp.export.postprocess.levels import DensePostprocess, Level, rows


class RepPointsPostprocess(DensePostprocess):
    """In eval mode the forward has scores and the refined boxes."""

    @staticmethod
    def fits(head: nn.Module) -> bool:
        """Whether the head predicts as `RepPointsHead` does."""
        own = type(head)
        return isinstance(head, RepPointsHead) and own._bbox_decode is RepPointsHead._bbox_decode

    def levels(self, outputs: tuple) -> list[Level]:
        """See `DensePostprocess`."""
        head, found = self.head, []
        for score, box, stride, points in zip(
            *outputs, head.point_strides, self.priors(outputs[0]), strict=True
        ):
            boxes = rows(box, 4) * stride + points[:, :2].repeat(1, 2)
            logits = rows(score, head.cls_out_channels)
            scores = logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[..., :-1]
            found.append(Level(self.clip(boxes), scores))
        return found
