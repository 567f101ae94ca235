"""CenterNet: peaks of a heat map; there is no NMS."""

import torch
from mmdet.models.dense_heads import CenterNetHead
from mmdet.models.utils import get_local_maximum
from torch import nn

from mmdet_lcp.export.postprocess.levels import DensePostprocess, Level, rows


class CenterNetPostprocess(DensePostprocess):
    """A cell that is the largest around itself is an object's centre."""

    names = ('center_heatmap', 'wh', 'offset')
    with_nms = False

    @staticmethod
    def fits(head: nn.Module) -> bool:
        """Whether the head predicts as `CenterNetHead` does."""
        own = type(head)
        return (
            isinstance(head, CenterNetHead)
            and own._decode_heatmap is CenterNetHead._decode_heatmap
        )

    def levels(self, outputs: tuple) -> list[Level]:
        """See `DensePostprocess`; scores that are no peaks are 0."""
        (heat,), (sides,), (offset,) = outputs
        height, width = (int(side) for side in heat.shape[-2:])
        peaks = get_local_maximum(heat, kernel=self.cfg.local_maximum_kernel)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
        cells = torch.stack([x, y], -1).reshape(-1, 2).to(heat.dtype)
        centres, half = cells + rows(offset, 2), rows(sides, 2) / 2
        scale = heat.new_tensor([self.width / width, self.height / height])
        boxes = torch.cat([(centres - half) * scale, (centres + half) * scale], -1)
        return [Level(boxes, rows(peaks, int(heat.shape[1])))]
