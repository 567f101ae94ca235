"""Default boxes for an auxiliary network, chosen by the detector's own rules.

LCP's auxiliary network reads the same default boxes that the detector is trained on: they come
from the head's prior generator, the head's assigner says which are positive, and the negatives
are the hardest under the head's present scores (LCP, Xie et al., arXiv 1911.02237; hard negative
mining: SSD, Liu et al., ECCV 2016, section 2.2).
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import AnchorHead
from mmdet.models.task_modules.prior_generators import AnchorGenerator, anchor_inside_flags
from mmdet.structures.bbox import cat_boxes, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError

# SSD's ratio, for heads (RetinaNet's, say) that mine no negatives of their own.
DEFAULT_NEG_POS_RATIO = 3


@dataclass
class RoISamples:
    """The regions of one batch that an auxiliary network reads.

    Attributes:
        rois: (R, 5): image index in the batch, then the default box (x1, y1, x2, y2) in pixels
            of the padded batch image. Image by image, positives before negatives.
        gt_boxes: (R, 4) matched ground truth in the same pixels; zeros for negatives.
        labels: (R,) class index; num_classes (background) for negatives.
        positive: (R,) boolean.
        img_shape: (height, width) of the padded batch image in pixels.
    """

    rois: Tensor
    gt_boxes: Tensor
    labels: Tensor
    positive: Tensor
    img_shape: tuple[int, int]


def batch_shape(metas: Sequence[dict]) -> tuple[int, int]:
    """(height, width) of the padded batch image in pixels, from mmdet's meta data."""
    shapes = [meta.get('batch_input_shape', meta['pad_shape'])[:2] for meta in metas]
    return max(int(height) for height, _ in shapes), max(int(width) for _, width in shapes)


class DefaultBoxSampler:
    """Picks positive and hard negative default boxes as the detector's own training does.

    With `max_positives=None` these are exactly the default boxes of which `SSDHead` sums the
    classification loss, but for the images without objects: SSD takes nothing from them, here
    they give `neg_pos_ratio` negatives, so that the background is seen in every batch.

    Args:
        head: An anchor-based one-stage head built with its `train_cfg`.
        neg_pos_ratio: Negatives per positive; None reads the head's `train_cfg.neg_pos_ratio`,
            or 3 where the head has none.
        max_positives: At most so many positives an image, which bounds the number of regions and
            so the cost; None keeps all.

    Raises:
        CompressionError: The head has no default boxes or no assigner, or a value is out of
            range.
    """

    def __init__(
        self, head: nn.Module, neg_pos_ratio: float | None = None, max_positives: int | None = 32
    ) -> None:
        name = type(head).__name__
        generator = getattr(head, 'prior_generator', None)
        if not isinstance(head, AnchorHead) or not isinstance(generator, AnchorGenerator):
            raise CompressionError(
                f'The localization auxiliary needs an anchor-based one-stage head (SSDHead, '
                f'RetinaHead and the like); {name} has no default boxes. Use another detector, '
                f'or take the attachment out of the config.'
            )
        if getattr(head, 'assigner', None) is None:
            raise CompressionError(
                f'{name} was built without model.train_cfg, so it has no assigner to match '
                f'default boxes with: give the detector its train_cfg.'
            )
        if neg_pos_ratio is None:
            neg_pos_ratio = head.train_cfg.get('neg_pos_ratio', DEFAULT_NEG_POS_RATIO)
        if neg_pos_ratio < 0:
            raise CompressionError(f'neg_pos_ratio={neg_pos_ratio!r} must be at least 0.')
        if max_positives is not None and max_positives < 1:
            raise CompressionError(
                f'max_positives={max_positives!r} must be at least 1, or None for no limit.'
            )
        self.head = head
        self.neg_pos_ratio = neg_pos_ratio
        self.max_positives = max_positives

    @torch.no_grad()
    def sample(
        self,
        cls_scores: Sequence[Tensor],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
        batch_gt_instances_ignore: Sequence[InstanceData] | None = None,
        generator: torch.Generator | None = None,
    ) -> RoISamples:
        """Choose the default boxes of one batch.

        Without a generator nothing here is random: where an image has more positives than
        `max_positives`, every so-manieth is kept, in the order of levels and places.

        Args:
            cls_scores: The head's classification maps, one (N, A * C, H, W) a level.
            batch_gt_instances: `bboxes` (G, 4) in pixels and `labels` (G,), one an image.
            batch_img_metas: mmdet's meta data, one an image; `img_shape` and `pad_shape` are read,
                and `batch_input_shape` where present.
            batch_gt_instances_ignore: Boxes to leave alone, one an image.
            generator: A CPU generator; positives over the limit are then drawn at random from it.

        Returns:
            The regions, on the device of `cls_scores`, without gradients.

        Raises:
            CompressionError: The head's assigner needs more than default boxes (it matches by
                predictions).
        """
        device = cls_scores[0].device
        metas = list(batch_img_metas)
        ignored = batch_gt_instances_ignore or [None] * len(metas)
        anchors, valid = self.head.get_anchors(
            [tuple(score.shape[-2:]) for score in cls_scores], metas, device=device
        )
        hardness = self._background_loss(cls_scores)
        parts = [
            self._sample_image(*image, generator)
            for image in zip(
                anchors, valid, batch_gt_instances, metas, ignored, hardness, strict=True
            )
        ]
        indices = [
            part[0].new_full((len(part[0]), 1), float(index)) for index, part in enumerate(parts)
        ]
        boxes, gt_boxes, labels, positive = (
            torch.cat(column) for column in zip(*parts, strict=True)
        )
        return RoISamples(
            rois=torch.cat([torch.cat(indices), boxes], dim=1),
            gt_boxes=gt_boxes,
            labels=labels,
            positive=positive,
            img_shape=batch_shape(metas),
        )

    def _background_loss(self, cls_scores: Sequence[Tensor]) -> Tensor:
        """Loss (N, anchors) that each default box would have if it were background."""
        head = self.head
        scores = torch.cat(
            [
                level.permute(0, 2, 3, 1).reshape(level.size(0), -1, head.cls_out_channels)
                for level in cls_scores
            ],
            dim=1,
        ).float()
        if head.use_sigmoid_cls:
            return F.softplus(scores).sum(dim=-1)
        return torch.logsumexp(scores, dim=-1) - scores[..., head.num_classes]

    def _sample_image(
        self,
        level_anchors: list[Tensor],
        level_valid: list[Tensor],
        gt_instances: InstanceData,
        meta: dict,
        ignored: InstanceData | None,
        hardness: Tensor,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes, ground truth, labels and positive flags of one image."""
        head = self.head
        flat = cat_boxes(level_anchors)
        # As AnchorHead._get_targets_single, which we cannot call: heads derived from it change
        # its arguments and what it returns, and none of them returns the matched boxes plainly.
        inside = anchor_inside_flags(
            flat,
            torch.cat(level_valid),
            meta['img_shape'][:2],
            head.train_cfg.get('allowed_border', -1),
        )
        priors = InstanceData(priors=flat[inside])
        extra = {}
        if 'num_level_priors' in inspect.signature(head.assigner.assign).parameters:
            counts = [len(anchors) for anchors in level_anchors]
            extra['num_level_priors'] = [int(part.sum()) for part in inside.split(counts)]
        try:
            assigned = head.assigner.assign(
                priors, gt_instances=gt_instances, gt_instances_ignore=ignored, **extra
            )
        except (AttributeError, TypeError) as error:
            raise CompressionError(
                f'The assigner {type(head.assigner).__name__} of {type(head).__name__} cannot '
                f'match bare default boxes ({error}). The localization auxiliary needs one that '
                f'can, such as MaxIoUAssigner or ATSSAssigner, in model.train_cfg.assigner.'
            ) from error
        result = head.sampler.sample(assigned, priors, gt_instances)

        boxes = get_box_tensor(flat[inside])
        picked = self._limit(len(result.pos_inds), generator).to(boxes.device)
        positives = result.pos_inds[picked]
        wanted = int(self.neg_pos_ratio * len(positives))
        if len(gt_instances) == 0:
            wanted = int(self.neg_pos_ratio)
        wanted = min(wanted, len(result.neg_inds))
        hardest = hardness[inside][result.neg_inds].topk(wanted).indices
        negatives = result.neg_inds[hardest]

        matched = get_box_tensor(result.pos_gt_bboxes)[picked].to(boxes.dtype)
        kinds = result.pos_gt_labels[picked]
        return (
            torch.cat([boxes[positives], boxes[negatives]]),
            torch.cat([matched, boxes.new_zeros(len(negatives), 4)]),
            torch.cat([kinds, kinds.new_full((len(negatives),), head.num_classes)]),
            torch.arange(len(positives) + len(negatives), device=boxes.device) < len(positives),
        )

    def _limit(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Which of `count` positives to keep, in rising order."""
        limit = self.max_positives
        if limit is None or count <= limit:
            return torch.arange(count)
        if generator is not None:
            return torch.randperm(count, generator=generator)[:limit].sort().values
        # The middle of each of `limit` equal shares: all levels and places keep their part.
        return (2 * torch.arange(limit) + 1) * count // (2 * limit)
