"""Default boxes of FCOS, whose head matches points to objects by itself, without an assigner.

FCOS (Tian et al., ICCV 2019, section 3.2): a point is positive if it lies in an object (or near
its centre) whose size its level is for; it is trained on the smallest such object.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import FCOSHead
from mmdet.models.task_modules.prior_generators import MlvlPointGenerator
from mmdet.structures.bbox import distance2bbox, get_box_tensor
from torch import Tensor

from mmdet_lcp.detectors.background_loss import background_loss
from mmdet_lcp.detectors.default_boxes import ANOTHER, Candidates, DefaultBoxSampler
from mmdet_lcp.detectors.prior_boxes import point_boxes
from mmdet_lcp.detectors.recorded_calls import Call
from mmdet_lcp.errors import CompressionError


class PointTargetSampler(DefaultBoxSampler):
    """The points of an FCOS head, as it targets them; boxes as `point_boxes` has them.

    Args:
        head: an `FCOSHead`, or a head derived from it.
        path: its module path in the detector.
        num_classes: see `DefaultBoxSampler`.
        neg_pos_ratio: see `DefaultBoxSampler`.
        max_positives: see `DefaultBoxSampler`.

    Raises:
        CompressionError: a value is out of range.
    """

    def __init__(
        self,
        head: FCOSHead,
        path: str,
        num_classes: int,
        neg_pos_ratio: float | None = None,
        max_positives: int | None = 32,
    ) -> None:
        super().__init__(num_classes, neg_pos_ratio, max_positives)
        self.head = head
        self.paths = [path]

    @property
    def watched(self) -> tuple[object, str]:
        """See `DefaultBoxSampler.watched`."""
        return self.head, '_get_targets_single'

    def candidates(
        self, calls: Mapping[int, Call], taps: Mapping[str, Any], data_samples: Sequence
    ) -> list[Candidates]:
        """See `DefaultBoxSampler.candidates`."""
        outputs = taps[self.paths[0]]
        hardness = background_loss(self.head, outputs)
        sizes = [tuple(level.shape[-2:]) for level in outputs[0]]
        generator: MlvlPointGenerator = self.head.prior_generator
        levels = generator.grid_priors(sizes, device=hardness.device, with_stride=True)
        boxes = point_boxes(torch.cat(levels))
        found = []
        for index, call in calls.items():
            labels, distances = call.result[:2]
            if labels.shape != hardness[index].shape:
                raise CompressionError(
                    f'pruning.attachment: {type(self.head).__name__} does not give each point '
                    f'one object, as FCOS does. {ANOTHER}'
                )
            positive = labels < self.head.num_classes
            matched = distance2bbox(torch.cat(levels)[positive, :2], distances[positive])
            found.append(
                Candidates(
                    boxes[positive],
                    _objects(matched, labels[positive], data_samples[index].gt_instances),
                    boxes[~positive],
                    hardness[index][~positive],
                )
            )
        return found


def _objects(matched: Tensor, labels: Tensor, objects: Any) -> Tensor:
    """Index of the object whose box and class these are, up to rounding."""
    if not len(matched):
        return labels
    boxes = get_box_tensor(objects.bboxes).to(matched)
    away = (matched[:, None] - boxes[None]).abs().sum(dim=-1)
    other = labels[:, None] != objects.labels[None]
    return away.masked_fill(other, float('inf')).argmin(dim=1)
