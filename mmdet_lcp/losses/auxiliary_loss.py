"""LCP's auxiliary loss: what the box holds (cross-entropy) and where it lies (GIoU)."""

import torch.nn.functional as F
from mmdet.models.losses.iou_loss import giou_loss
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import MODELS


def check_weights(cls_weight: float, box_weight: float) -> None:
    """Raise CompressionError unless both weights are >= 0 and one is positive.

    Args:
        cls_weight: of the cross-entropy.
        box_weight: of the GIoU loss.
    """
    for key, value in dict(cls_weight=cls_weight, box_weight=box_weight).items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value < float('inf'):
            raise CompressionError(
                f'{key}={value!r} of the auxiliary loss must be a finite number of at least 0.'
            )
    if cls_weight == 0 and box_weight == 0:
        raise CompressionError(
            'cls_weight and box_weight of the auxiliary loss are both 0, so it would teach '
            'nothing: raise one, or remove the attachment from the config.'
        )


@MODELS.register_module()
class LocalizationAwareLoss(nn.Module):
    """L_a = L_ac + L_ar, on the regions that the auxiliary network has read.

    L_ac = sum_i CE_i and L_ar = sum_i m (1 - GIoU_i), m = 50. Source: LCP (arXiv 1911.02237),
    auxiliary loss. The paper states both over the positives; that negatives add cross-entropy
    with the background label, and nothing to L_ar, is our reading. So is the normaliser: both
    sums are divided by the number of positives, averaged over the ranks and at least 1, without
    which the trade-off with the other losses would hang on how many objects a batch holds. With
    gradients averaged over the ranks, the result is the sum over all ranks divided by all ranks'
    positives.

    Args:
        cls_weight: Factor of the cross-entropy, >= 0.
        box_weight: m, the factor of 1 - GIoU, >= 0.

    Raises:
        CompressionError: A negative or non-finite weight, or both weights 0.
    """

    def __init__(self, cls_weight: float = 1.0, box_weight: float = 50.0) -> None:
        super().__init__()
        check_weights(cls_weight, box_weight)
        self.cls_weight = cls_weight
        self.box_weight = box_weight

    def forward(
        self, cls_scores: Tensor, boxes: Tensor, labels: Tensor, gt_boxes: Tensor, positive: Tensor
    ) -> dict[str, Tensor]:
        """The two losses of a batch.

        Args:
            cls_scores: Logits (R, num_classes + 1), the background last.
            boxes: Predicted boxes (R, 4) as (x1, y1, x2, y2) in image pixels.
            labels: Class indices (R,); num_classes means background.
            gt_boxes: Matched ground truth (R, 4) in image pixels; rows of negatives are not read.
            positive: Boolean (R,).

        Returns:
            `loss_aux_cls` and `loss_aux_box`, scalars >= 0 that are part of the graph even
            without a single positive or region, so that every rank has the same gradients.
        """
        # Half precision overflows in the areas of a GIoU.
        cls_scores, boxes = cls_scores.float(), boxes.float()
        normaliser = reduce_mean(positive.sum().to(cls_scores.dtype)).clamp(min=1.0)
        loss_cls = F.cross_entropy(cls_scores, labels, reduction='sum')
        predicted = boxes[positive]
        if len(predicted) > 0:
            matched = gt_boxes[positive].to(predicted.dtype)
            loss_box = giou_loss(predicted, matched, reduction='sum')
        else:
            # mmdet's GIoU of no pairs leaves the graph; the sum over an empty slice is a zero
            # that stays in it (0 * boxes.sum() would turn an infinite box into NaN).
            loss_box = predicted.sum()
        return dict(
            loss_aux_cls=self.cls_weight * loss_cls / normaliser,
            loss_aux_box=self.box_weight * loss_box / normaliser,
        )

    def extra_repr(self) -> str:
        """The weights, for printing."""
        return f'cls_weight={self.cls_weight}, box_weight={self.box_weight}'
