"""Proposals as default boxes: what the RoI head of a two-stage detector is trained on.

They come from the RPN under its present weights; the RoI head's own assigner and sampler match and
draw them, with the objects themselves among them where the detector's config says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.structures.bbox import get_box_tensor
from torch import nn

from mmdet_lcp.detectors.default_boxes import ANOTHER, Candidates, DefaultBoxSampler
from mmdet_lcp.detectors.object_classes import box_head
from mmdet_lcp.detectors.recorded_calls import Call
from mmdet_lcp.errors import CompressionError


class ProposalSampler(DefaultBoxSampler):
    """The proposals that a RoI head trains on; of a cascade, those of its first stage.

    A negative is the harder, the more the RPN takes it for an object.

    Args:
        roi_head: a RoI head with an assigner and a sampler of boxes.
        num_classes: see `DefaultBoxSampler`.
        neg_pos_ratio: see `DefaultBoxSampler`.
        max_positives: see `DefaultBoxSampler`.

    Raises:
        CompressionError: the RoI head has no such sampler, or a value is out of range.
    """

    def __init__(
        self,
        roi_head: nn.Module,
        num_classes: int,
        neg_pos_ratio: float | None = None,
        max_positives: int | None = 32,
    ) -> None:
        super().__init__(num_classes, neg_pos_ratio, max_positives)
        sampler = getattr(roi_head, 'bbox_sampler', None)
        if isinstance(sampler, (list, tuple)):
            sampler = sampler[0] if sampler else None
        if not hasattr(sampler, 'sample'):
            raise CompressionError(
                f'pruning.attachment.boxes: {type(roi_head).__name__} has no sampler of '
                f'proposals. If model.train_cfg is missing, give the detector one. {ANOTHER}'
            )
        self.head = roi_head
        self.paths = []
        self.bbox_coder = getattr(box_head(roi_head), 'bbox_coder', None)
        self._sampler = sampler

    @property
    def watched(self) -> tuple[object, str]:
        """See `DefaultBoxSampler.watched`."""
        return self._sampler, 'sample'

    def candidates(
        self, calls: Mapping[int, Call], taps: Mapping[str, Any], data_samples: Sequence
    ) -> list[Candidates]:
        """See `DefaultBoxSampler.candidates`."""
        found = []
        for call in calls.values():
            taken = call.result
            assigned = call.given(0, 'assign_result')
            proposals = call.given(1, 'pred_instances')
            negatives = get_box_tensor(taken.neg_priors)
            hardness = negatives.new_zeros(len(negatives))
            if 'scores' in proposals:  # proposals that were computed before may have none
                # The sampler may have put the objects before the proposals.
                before = len(assigned.gt_inds) - len(proposals)
                hardness = proposals.scores[taken.neg_inds - before].float()
            found.append(
                Candidates(
                    get_box_tensor(taken.pos_priors),
                    taken.pos_assigned_gt_inds,
                    negatives,
                    hardness,
                )
            )
        return found
