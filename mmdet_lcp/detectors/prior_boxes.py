"""Default boxes of heads that match priors by an assigner: anchors, or points with a stride.

That is SSD, RetinaNet, ATSS, GFL, TOOD, YOLOv3 and the like, and every RPN; with points YOLOX
(SimOTA) and RTMDet (dynamic soft labels), whose assigners also see the head's predictions.

A point has no extent, an auxiliary network needs one: its box is the square around it of 8 strides
a side, our reading. It is the one square anchor that makes RetinaNet comparable with FCOS in ATSS
(Zhang et al., "Bridging the Gap Between Anchor-based and Anchor-free Detection", CVPR 2020,
section 3: "8S").
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.models.task_modules.prior_generators import (
    AnchorGenerator,
    MlvlPointGenerator,
    anchor_inside_flags,
)
from mmdet.structures.bbox import cat_boxes, get_box_tensor
from torch import Tensor, nn

from mmdet_lcp.detectors.background_loss import background_loss
from mmdet_lcp.detectors.default_boxes import ANOTHER, Candidates, DefaultBoxSampler
from mmdet_lcp.detectors.recorded_calls import Call
from mmdet_lcp.errors import CompressionError

STRIDES_A_SIDE = 8.0


def point_boxes(points: Tensor) -> Tensor:
    """The square of 8 strides a side around each point.

    Args:
        points: (R, 4): x, y, stride in x, stride in y, in pixels.

    Returns:
        (R, 4) as (x1, y1, x2, y2) in pixels.
    """
    half = points[:, 2:] * (STRIDES_A_SIDE / 2)
    return torch.cat([points[:, :2] - half, points[:, :2] + half], dim=1)


class PriorBoxSampler(DefaultBoxSampler):
    """The priors of a dense head, as its own assigner and sampler take them.

    Args:
        head: the dense head.
        path: its module path in the detector.
        num_classes: see `DefaultBoxSampler`; an RPN's own would be 1.
        neg_pos_ratio: see `DefaultBoxSampler`; ``None`` reads the head's
            `train_cfg.neg_pos_ratio`.
        max_positives: see `DefaultBoxSampler`.

    Raises:
        CompressionError: the head has no such priors or no assigner, or a value is out of range.
    """

    def __init__(
        self,
        head: nn.Module,
        path: str,
        num_classes: int,
        neg_pos_ratio: float | None = None,
        max_positives: int | None = 32,
    ) -> None:
        name = type(head).__name__
        generator = getattr(head, 'prior_generator', None)
        usual = isinstance(generator, (AnchorGenerator, MlvlPointGenerator))
        if usual and getattr(head, 'train_cfg', None) is None:
            raise CompressionError(
                f'{name} was built without model.train_cfg, so it has no assigner to match '
                f'default boxes with: give the detector its train_cfg.'
            )
        if not usual or not all(
            hasattr(getattr(head, part, None), method)
            for part, method in (('assigner', 'assign'), ('sampler', 'sample'))
        ):
            instead = (
                "Take pruning.attachment.boxes='proposals'." if path == 'rpn_head' else ANOTHER
            )
            raise CompressionError(
                f'pruning.attachment: {name} does not match anchors or points to objects by an '
                f'assigner and a sampler, which is where the auxiliary network gets its default '
                f'boxes from. {instead}'
            )
        if neg_pos_ratio is None:
            neg_pos_ratio = head.train_cfg.get('neg_pos_ratio')
        super().__init__(num_classes, neg_pos_ratio, max_positives)
        self.head = head
        self.paths = [path]
        self.bbox_coder = getattr(head, 'bbox_coder', None)

    @property
    def watched(self) -> tuple[object, str]:
        """See `DefaultBoxSampler.watched`."""
        return self.head.sampler, 'sample'

    def candidates(
        self, calls: Mapping[int, Call], taps: Mapping[str, Any], data_samples: Sequence
    ) -> list[Candidates]:
        """See `DefaultBoxSampler.candidates`."""
        outputs = taps[self.paths[0]]
        hardness = background_loss(self.head, outputs)
        found = []
        for index, call in calls.items():
            taken = call.result
            priors = get_box_tensor(call.given(1, 'pred_instances').priors)
            values = hardness[index]
            if len(priors) < len(values):
                values = values[self._inside(priors, outputs, data_samples[index].metainfo)]
            if len(priors) != len(values):
                raise self._mismatch()
            found.append(
                Candidates(
                    self._boxes(taken.pos_priors),
                    taken.pos_assigned_gt_inds,
                    self._boxes(taken.neg_priors),
                    values[taken.neg_inds],
                )
            )
        return found

    def _boxes(self, priors: Any) -> Tensor:
        priors = get_box_tensor(priors)
        # VFNet predicts from points and matches anchors.
        generator = getattr(self.head, 'atss_prior_generator', self.head.prior_generator)
        return point_boxes(priors) if isinstance(generator, MlvlPointGenerator) else priors

    def _inside(self, priors: Tensor, outputs: Sequence, meta: dict) -> Tensor:
        """Which of all priors an `AnchorHead` has shown its assigner: those in the image."""
        head = self.head
        if not isinstance(head, AnchorHead):
            raise self._mismatch()
        sizes = [tuple(level.shape[-2:]) for level in outputs[0]]
        levels, valid = head.get_anchors(sizes, [meta], device=priors.device)
        flat = get_box_tensor(cat_boxes(levels[0]))
        border = head.train_cfg.get('allowed_border', -1)
        inside = anchor_inside_flags(flat, torch.cat(valid[0]), meta['img_shape'][:2], border)
        if not torch.equal(flat[inside], priors):
            raise self._mismatch()
        return inside

    def _mismatch(self) -> CompressionError:
        return CompressionError(
            f'pruning.attachment: the boxes that {type(self.head).__name__} matches to objects '
            f'are not those that it scores, so hard negatives cannot be told. {ANOTHER}'
        )
