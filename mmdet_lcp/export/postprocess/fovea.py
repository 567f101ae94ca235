"""FoveaBox: sides grow exponentially from a length of the level."""

import torch
from mmdet.models.dense_heads import FoveaHead
from torch import nn

from mmdet_lcp.export.postprocess.levels import DensePostprocess, Level, rows


class FoveaPostprocess(DensePostprocess):
    """Boxes end at the last pixel."""

    @staticmethod
    def fits(head: nn.Module) -> bool:
        """Whether the head predicts as `FoveaHead` does."""
        own = type(head)
        return isinstance(head, FoveaHead) and own._bbox_decode is FoveaHead._bbox_decode

    def levels(self, outputs: tuple) -> list[Level]:
        """See `DensePostprocess`."""
        found = []
        for score, sides, length, priors in zip(
            *outputs, self.head.base_edge_list, self.priors(outputs[0]), strict=True
        ):
            away = rows(sides, 4).exp() * length
            centres = priors[:, :2]
            boxes = torch.cat([centres - away[..., :2], centres + away[..., 2:]], -1)
            scores = rows(score, self.head.cls_out_channels).sigmoid()
            found.append(Level(self.clip(boxes, 1), scores))
        return found
