"""The attachment `LocalizationAuxiliary`: LCP's auxiliary network as a few config keys."""

from collections.abc import Sequence

from mmdet.models.dense_heads import FCOSHead
from mmdet.models.task_modules.coders import (
    DeltaXYWHBBoxCoder,
    LegacyDeltaXYWHBBoxCoder,
    TBLRBBoxCoder,
)
from torch import nn

from mmdet_lcp.auxiliary.attached_detector import LayerAuxiliary
from mmdet_lcp.auxiliary.base import StageAttachment, check_attachable
from mmdet_lcp.auxiliary.contextual_roi_align import ContextualRoIAlign
from mmdet_lcp.auxiliary.network import AuxiliaryNetwork
from mmdet_lcp.detectors.default_boxes import DefaultBoxSampler, check_limits
from mmdet_lcp.detectors.object_classes import count_classes
from mmdet_lcp.detectors.point_targets import PointTargetSampler
from mmdet_lcp.detectors.prior_boxes import PriorBoxSampler
from mmdet_lcp.detectors.proposal_boxes import ProposalSampler
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.losses.auxiliary_loss import check_weights
from mmdet_lcp.registry import ATTACHMENTS
from mmdet_lcp.wrappers import unwrap

# They decode four numbers relative to a box; others start from a point or a grid cell.
_CODERS = (DeltaXYWHBBoxCoder, LegacyDeltaXYWHBBoxCoder, TBLRBBoxCoder)

BOXES = ('anchors', 'proposals')


@ATTACHMENTS.register_module()
class LocalizationAuxiliary(StageAttachment):
    """What the config says of LCP's auxiliary network; it holds no weights itself.

    Source: LCP (Xie et al., arXiv 1911.02237). `output_size`, `max_positives` and `neg_pos_ratio`
    are ours, the paper names none of them.

    Args:
        contextual: Contextual RoIAlign; False is plain RoIAlign, the paper's ablation.
        output_size: Bins along each side of a region, at least 1.
        sampling_ratio: Sample points along each side of a bin, at least 1.
        pool_mode: 'avg' or 'max'.
        cls_weight: Factor of the cross-entropy, >= 0; 0 is the paper's ablation of L_ac.
        box_weight: m, the factor of 1 - GIoU, >= 0; 0 is the ablation of L_ar.
        boxes: Which of a two-stage detector's boxes are the default boxes: 'anchors', those of its
            RPN, as the RPN's assigner and sampler take them (the paper's word, our default); or
            'proposals', as the RoI head's take them. Other detectors have anchors alone, or
            points, each with a square around it (`point_boxes`).
        max_positives: Positive default boxes an image at most; None for all.
        neg_pos_ratio: Negatives per positive, the hardest of those that the detector takes; None
            for the detector's own ratio, or 3 where it has none; inf for all.

    Raises:
        CompressionError: A value is out of range; the message names its key.
    """

    def __init__(
        self,
        contextual: bool = True,
        output_size: int = 3,
        sampling_ratio: int = 2,
        pool_mode: str = 'avg',
        cls_weight: float = 1.0,
        box_weight: float = 50.0,
        boxes: str = 'anchors',
        max_positives: int | None = 32,
        neg_pos_ratio: float | None = None,
    ) -> None:
        if not isinstance(contextual, bool):
            raise CompressionError(f'contextual={contextual!r} must be True or False.')
        if boxes not in BOXES:
            raise CompressionError(f"boxes={boxes!r} must be 'anchors' or 'proposals'.")
        check_limits(neg_pos_ratio, max_positives)
        # The parts know their own ranges: build them now, so that a wrong value is told of
        # before training starts and not when the first layer's turn comes.
        ContextualRoIAlign(output_size, sampling_ratio, pool_mode, contextual=contextual)
        check_weights(cls_weight, box_weight)
        self.boxes = boxes
        self.max_positives = max_positives
        self.neg_pos_ratio = neg_pos_ratio
        self._network = dict(
            contextual=contextual,
            output_size=output_size,
            sampling_ratio=sampling_ratio,
            pool_mode=pool_mode,
            cls_weight=cls_weight,
            box_weight=box_weight,
        )

    def check(self, detector: nn.Module, stages: Sequence[Stage]) -> None:
        """See `StageAttachment.check`."""
        check_attachable(detector, stages)

    def attach(self, detector: nn.Module, stages: Sequence[Stage], number: int) -> LayerAuxiliary:
        """A fresh network on the first layer that reads the group of stage ``number``."""
        path = stages[number].group.consumers[0].path
        network = self.build(detector, detector.get_submodule(path).out_channels)
        return LayerAuxiliary(network, self.sampler(detector), path)

    def build(self, detector: nn.Module, in_channels: int) -> AuxiliaryNetwork:
        """A fresh auxiliary network on the detector's device.

        Its boxes are coded as those of the head that the default boxes belong to. Where that head
        starts from a point or a cell they are coded as SSD's, relative to the default box.

        Args:
            detector: An mmdet detector with such a head.
            in_channels: Channels of the convolution output that the network will read.

        Raises:
            CompressionError: See `sampler`.
        """
        sampler = self.sampler(detector)
        coder = sampler.bbox_coder
        if not isinstance(coder, _CODERS):
            coder = DeltaXYWHBBoxCoder(target_stds=(0.1, 0.1, 0.2, 0.2))
        network = AuxiliaryNetwork(in_channels, sampler.num_classes, coder, **self._network)
        return network.to(next(detector.parameters()).device)

    def sampler(self, detector: nn.Module) -> DefaultBoxSampler:
        """The choice of default boxes by the detector's own head.

        Args:
            detector: An mmdet detector.

        Raises:
            CompressionError: It has no head whose boxes can serve, was built without `train_cfg`,
                or has no proposals where `boxes` asks for them.
        """
        detector = unwrap(detector)
        limits = dict(neg_pos_ratio=self.neg_pos_ratio, max_positives=self.max_positives)
        roi_head = getattr(detector, 'roi_head', None)
        if self.boxes == 'proposals':
            if roi_head is None:
                raise CompressionError(
                    f"pruning.attachment.boxes='proposals': {type(detector).__name__} has no "
                    f"roi_head that would read them; take 'anchors'."
                )
            return ProposalSampler(roi_head, count_classes(detector), **limits)
        path = 'bbox_head' if roi_head is None else 'rpn_head'
        head = getattr(detector, path, None)
        if head is None:
            other = '' if roi_head is None else "take pruning.attachment.boxes='proposals', "
            raise CompressionError(
                f'The localization auxiliary needs a head that matches boxes to objects, but '
                f'{type(detector).__name__} has no {path}: {other}use another detector, or set '
                f'pruning.attachment=None.'
            )
        # Some heads derived from FCOS's match by an assigner after all.
        by_itself = isinstance(head, FCOSHead) and getattr(head, 'assigner', None) is None
        kind = PointTargetSampler if by_itself else PriorBoxSampler
        return kind(head, path, count_classes(detector), **limits)
