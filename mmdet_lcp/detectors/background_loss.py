"""How hard a default box is as background, by the head's present outputs.

Hard negative mining (SSD, Liu et al., ECCV 2016, section 2.2) takes the boxes with the highest
loss for it; that is also where LCP's auxiliary network gets its negatives from.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import YOLOV3Head, YOLOXHead
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError


def background_loss(head: nn.Module, outputs: Sequence) -> Tensor:
    """Classification loss that each default box would have if it were background.

    With sigmoid scores it is the summed binary cross-entropy against zeros, with softmax scores
    the cross-entropy of the background; of YOLOv3 and YOLOX, which score classes on objects
    alone, the binary cross-entropy of the objectness.

    Args:
        head: an mmdet dense head.
        outputs: what its `forward` has returned: first of all the scores, (N, A * C, H, W) a
            level, in logits.

    Returns:
        (N, P), >= 0, in the order of levels, rows, columns and boxes a place.

    Raises:
        CompressionError: the outputs hold no such scores.
    """
    if isinstance(head, YOLOV3Head):
        return F.softplus(_rows(head, outputs[0], head.num_attrib)[..., 4])
    if isinstance(head, YOLOXHead):
        return F.softplus(_rows(head, outputs[2], 1)[..., 0])
    scores = _rows(head, outputs[0], getattr(head, 'cls_out_channels', 0))
    if head.use_sigmoid_cls:
        return F.softplus(scores).sum(dim=-1)
    return torch.logsumexp(scores, dim=-1) - scores[..., head.num_classes]


def _rows(head: nn.Module, levels: Sequence[Tensor], width: int) -> Tensor:
    """(N, P, width) from the maps of all levels."""
    fits = isinstance(levels, (list, tuple)) and width
    if not fits or any(level.dim() != 4 or level.size(1) % width for level in levels):
        raise CompressionError(
            f'pruning.attachment: the outputs of {type(head).__name__} are not the maps of '
            'scores that hard negatives are chosen by. Use another detector, or set '
            'pruning.attachment=None.'
        )
    rows = [level.permute(0, 2, 3, 1).reshape(level.size(0), -1, width) for level in levels]
    return torch.cat(rows, dim=1).float()
