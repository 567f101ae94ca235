"""How many classes of objects a detector tells apart, wherever it says so."""

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.wrappers import unwrap


def box_head(roi_head: nn.Module) -> nn.Module:
    """The box head of a two-stage detector's RoI head; of a cascade, the first stage's."""
    head = getattr(roi_head, 'bbox_head', None)
    return head[0] if isinstance(head, nn.ModuleList) else head


def count_classes(detector: nn.Module) -> int:
    """Object classes of a one-stage or two-stage detector, the background not counted.

    Raises:
        CompressionError: no head says.
    """
    detector = unwrap(detector)
    for owner in (detector, getattr(detector, 'roi_head', None)):
        count = getattr(box_head(owner), 'num_classes', None)
        if isinstance(count, int):
            return count
    raise CompressionError(
        f'pruning.attachment needs the number of classes, which neither bbox_head nor '
        f'roi_head.bbox_head of {type(detector).__name__} tells. Use another detector, or set '
        f'pruning.attachment=None.'
    )
