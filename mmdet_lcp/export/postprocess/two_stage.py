"""Faster, Cascade and Mask R-CNN: proposals of the RPN, and the boxes and masks of their regions.

The number of proposals is fixed: where NMS leaves fewer, the rest are empty regions whose scores
do not count.
"""

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.nms import Boxes, suppress
from mmdet_lcp.export.postprocess.foreign import check_own
from mmdet_lcp.export.postprocess.levels import DensePostprocess, large_enough, rows
from mmdet_lcp.export.thresholds import check_nms, read_thresholds


class Proposals(DensePostprocess):
    """The RPN's boxes; NMS is by level."""

    def __init__(self, head: nn.Module, image_size: tuple[int, int]) -> None:
        own = type(head)
        check_own(head, 'rpn_head')
        if not isinstance(head, RPNHead) or (
            own._predict_by_feat_single is not RPNHead._predict_by_feat_single
        ):
            raise CompressionError(
                f'rpn_head ({own.__name__}) cannot be exported: proposals of RPNHead can'
            )
        self.head, self.cfg = head, head.test_cfg
        self.height, self.width = image_size
        check_nms(dict(self.cfg.nms), f'rpn_head ({own.__name__})')
        self.thresholds = read_thresholds(self.cfg, 'rpn_head')
        self._priors = {}

    def detections(self, outputs: tuple) -> Boxes:
        """(N, max_per_img) proposals each; empty ones have the label -1."""
        head, found = self.head, []
        for number, (score, delta, priors) in enumerate(
            zip(*outputs, self.priors(outputs[0]), strict=True)
        ):
            logits = rows(score, head.cls_out_channels)
            scores = logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[..., :-1]
            scores, deltas = scores[..., 0], rows(delta, head.bbox_coder.encode_size)
            count, most = int(scores.shape[1]), self.thresholds.nms_pre
            if 0 < most < count:
                scores, index = scores.topk(most, dim=1)
                which = index[..., None].expand(-1, -1, 4)
                deltas = deltas.gather(1, which)
                priors = priors.expand(which.shape[0], -1, -1).gather(1, which)
            else:
                priors = priors.expand_as(deltas)
            boxes = head.bbox_coder.decode(priors.reshape(-1, 4), deltas.reshape(-1, 4))
            boxes = self.clip(boxes.reshape(-1, min(count, most) if most > 0 else count, 4))
            labels = torch.full_like(scores, number, dtype=torch.int64)
            found.append(Boxes(boxes, scores, labels))
        whole = Boxes(*(torch.cat(part, 1) for part in zip(*found, strict=True)))
        least = self.cfg.get('min_bbox_size', -1)
        if least >= 0:
            whole = whole._replace(scores=large_enough(whole, least))
        limits = self.thresholds
        return suppress(whole, limits.iou, limits.max_per_img, limits.class_agnostic)


class TwoStagePostprocess:
    """Feature maps to detections.

    Args:
        detector: with `rpn_head` and `roi_head`.
        image_size: (height, width) in pixels of the input.

    Raises:
        CompressionError: a head is not known.
    """

    any_batch = True
    with_nms = True

    def __init__(self, detector: nn.Module, image_size: tuple[int, int]) -> None:
        self.head = head = detector.roi_head
        self.rpn = detector.rpn_head
        self.height, self.width = image_size
        self.proposals = Proposals(detector.rpn_head, image_size)
        own = type(head)
        self.cascade = isinstance(head, CascadeRoIHead)
        base = CascadeRoIHead if self.cascade else StandardRoIHead
        parts = ['predict', 'predict_bbox'] + ['predict_mask'] * bool(head.with_mask)
        if not isinstance(head, base) or any(
            getattr(own, part) is not getattr(base, part) for part in parts
        ):
            raise CompressionError(
                f'roi_head ({own.__name__}) cannot be exported: heads that predict boxes and '
                'masks as StandardRoIHead or CascadeRoIHead do can'
            )
        self.stages = list(head.bbox_head) if self.cascade else [head.bbox_head]
        for number, each in enumerate(self.stages):
            name = f'roi_head.bbox_head{f".{number}" if self.cascade else ""}'
            own = type(each)
            check_own(each, name)
            if (
                not isinstance(each, BBoxHead)
                or own.predict_by_feat is not BBoxHead.predict_by_feat
                or own._predict_by_feat_single is not BBoxHead._predict_by_feat_single
                or not each.with_reg
            ):
                raise CompressionError(
                    f'{name} ({own.__name__}) cannot be exported: boxes of BBoxHead and '
                    'its descendants can'
                )
        self.with_masks = bool(head.with_mask)
        if self.with_masks:
            masks = list(head.mask_head) if self.cascade else [head.mask_head]
            own = type(masks[-1])
            check_own(masks[-1], 'roi_head.mask_head')
            if any(
                getattr(own, part, None) is not getattr(FCNMaskHead, part)
                for part in ('predict_by_feat', '_predict_by_feat_single')
            ):
                raise CompressionError(
                    f'roi_head.mask_head ({own.__name__}) cannot be exported: masks of '
                    'FCNMaskHead can'
                )
            self.mask_threshold = float(head.test_cfg.get('mask_thr_binary', 0.5))
            if self.mask_threshold < 0:
                raise CompressionError(
                    f'roi_head.test_cfg.mask_thr_binary={self.mask_threshold:g}: mmdet then gives '
                    'masks of 0 to 255, which the runtime does not: set it to 0.5 '
                    '(--cfg-options model.test_cfg.rcnn.mask_thr_binary=0.5)'
                )
        self.thresholds = read_thresholds(head.test_cfg, f'roi_head ({type(head).__name__})')

    def candidates(self, features: tuple) -> tuple[Tensor, Tensor]:
        """Boxes (N, P, 4) or (N, P, C, 4), and scores (N, P, C); 0 for empty proposals."""
        found = self.proposals.detections(self.rpn(features))
        count = int(found.boxes.shape[1])
        rois = with_image(found.boxes)
        logits = []
        for number, stage in enumerate(self.stages):
            where = (number,) if self.cascade else ()
            result = self.head._bbox_forward(*where, features, rois)
            logits.append(result['cls_score'])
            deltas = result['bbox_pred'].reshape(rois.shape[0], -1, 4)
            if number < len(self.stages) - 1:
                scores = logits[-1]
                if stage.custom_activation:
                    scores = stage.loss_cls.get_activation(scores)
                label = scores[:, :-1].argmax(1)
                rois = torch.cat([rois[:, :1], self._refined(stage, rois, deltas, label)], 1)
        last = self.stages[-1]
        mean = sum(logits) / len(logits)
        if last.custom_cls_channels:
            scores = last.loss_cls.get_activation(mean)
        else:
            scores = mean.softmax(-1)
        classes = int(scores.shape[-1]) - 1
        scores = scores.reshape(-1, count, classes + 1)[..., :-1]
        there = (found.labels >= 0)[..., None]
        scores = torch.where(there, scores, torch.zeros_like(scores))
        each = 1 if last.reg_class_agnostic else classes
        spread = rois[:, None, 1:].expand(-1, each, -1).reshape(-1, 4)
        boxes = self._clip(last, last.bbox_coder.decode(spread, deltas.reshape(-1, 4)))
        boxes = boxes.reshape(-1, count, 4) if each == 1 else boxes.reshape(-1, count, each, 4)
        return boxes, scores

    def decoded(self, features: tuple) -> tuple[Tensor, Tensor]:
        """Boxes (N, P, 4) or (N, P, C * 4), and scores (N, P, C)."""
        boxes, scores = self.candidates(features)
        return boxes if boxes.ndim == 3 else boxes.flatten(2), scores

    def detections(self, features: tuple) -> tuple[Boxes, Tensor | None]:
        """Boxes, and masks (N, K, h, w) in [0, 1] of the boxes' insides where there are."""
        boxes, scores = self.candidates(features)
        count, classes = int(scores.shape[1]), int(scores.shape[2])
        if boxes.ndim == 3:
            boxes = boxes[:, :, None].expand(-1, -1, classes, -1)
        flat = scores.flatten(1)
        limits = self.thresholds
        flat = torch.where(flat > limits.score, flat, torch.zeros_like(flat))
        labels = torch.arange(classes).repeat(count).expand_as(flat)
        every = Boxes(boxes.reshape(-1, count * classes, 4), flat, labels)
        found = suppress(every, limits.iou, limits.max_per_img, limits.class_agnostic)
        return found, self._masks(features, found) if self.with_masks else None

    def _masks(self, features: tuple, found: Boxes) -> Tensor:
        rois = with_image(found.boxes)
        if self.cascade:
            stages = range(self.head.num_stages)
            masks = [self.head._mask_forward(s, features, rois)['mask_preds'] for s in stages]
            mean = sum(mask.sigmoid() for mask in masks) / len(masks)
        else:
            mean = self.head._mask_forward(features, rois)['mask_preds'].sigmoid()
        high, wide = (int(side) for side in mean.shape[-2:])
        if int(mean.shape[1]) > 1:
            which = found.labels.clamp(min=0).reshape(-1, 1, 1, 1)
            mean = mean.gather(1, which.expand(-1, -1, high, wide))
        return mean.reshape(-1, int(found.boxes.shape[1]), high, wide)

    def _refined(self, stage: nn.Module, rois: Tensor, deltas: Tensor, label: Tensor) -> Tensor:
        if not stage.reg_class_agnostic:
            deltas = deltas.gather(1, label[:, None, None].expand(-1, -1, 4))
        return self._clip(stage, stage.bbox_coder.decode(rois[:, 1:], deltas[:, 0]))

    def _clip(self, stage: nn.Module, boxes: Tensor) -> Tensor:
        if not getattr(stage.bbox_coder, 'clip_border', True):
            return boxes
        sides = boxes.new_tensor([self.width, self.height] * 2)
        return torch.minimum(boxes.clamp(min=0.0), sides)


def with_image(boxes: Tensor) -> Tensor:
    """Regions (N, K, 4) as mmdet's RoIs (N * K, 5): number of the image, x1, y1, x2, y2."""
    ones = torch.ones_like(boxes[..., :1])
    number = ones[:, :1].cumsum(0) - 1
    return torch.cat([ones * number, boxes], -1).reshape(-1, 5)
