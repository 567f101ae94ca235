"""The attachment `LocalizationAuxiliary`: LCP's auxiliary network as a few config keys."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmdet.models.task_modules.coders import (
    DeltaXYWHBBoxCoder,
    LegacyDeltaXYWHBBoxCoder,
    TBLRBBoxCoder,
)
from mmengine.model import is_model_wrapper
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.losses.auxiliary_loss import check_weights
from mmdet_lcp.registry import ATTACHMENTS

from .attached_detector import LayerAuxiliary
from .auxiliary import AuxiliaryNetwork
from .base import StageAttachment, check_attachable
from .contextual_roi_align import ContextualRoIAlign
from .default_boxes import DefaultBoxSampler

if TYPE_CHECKING:
    from mmdet_lcp.runner.stages import Stage

# They decode four numbers relative to a box; others start from a point or a grid cell.
_CODERS = (DeltaXYWHBBoxCoder, LegacyDeltaXYWHBBoxCoder, TBLRBBoxCoder)


@ATTACHMENTS.register_module()
class LocalizationAuxiliary(StageAttachment):
    """What the config says of LCP's auxiliary network; it holds no weights itself.

    Source: LCP (Xie et al., arXiv 1911.02237). `output_size` and `max_positives` are ours, the
    paper names neither.

    Args:
        contextual: Contextual RoIAlign; False is plain RoIAlign, the paper's ablation.
        output_size: Bins along each side of a region, at least 1.
        sampling_ratio: Sample points along each side of a bin, at least 1.
        pool_mode: 'avg' or 'max'.
        cls_weight: Factor of the cross-entropy, >= 0; 0 is the paper's ablation of L_ac.
        box_weight: m, the factor of 1 - GIoU, >= 0; 0 is the ablation of L_ar.
        max_positives: Positive default boxes an image at most; None for all.

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
        max_positives: int | None = 32,
    ) -> None:
        if not isinstance(contextual, bool):
            raise CompressionError(f'contextual={contextual!r} must be True or False.')
        if max_positives is not None and (
            not isinstance(max_positives, int)
            or isinstance(max_positives, bool)
            or max_positives < 1
        ):
            raise CompressionError(
                f'max_positives={max_positives!r} must be an integer of at least 1, '
                f'or None for no limit.'
            )
        # The parts know their own ranges: build them now, so that a wrong value is told of
        # before training starts and not when the first layer's turn comes.
        ContextualRoIAlign(output_size, sampling_ratio, pool_mode, contextual=contextual)
        check_weights(cls_weight, box_weight)
        self.max_positives = max_positives
        self._network = dict(
            contextual=contextual,
            output_size=output_size,
            sampling_ratio=sampling_ratio,
            pool_mode=pool_mode,
            cls_weight=cls_weight,
            box_weight=box_weight,
        )

    def check(self, detector: nn.Module, stages: Sequence['Stage']) -> None:
        """See `StageAttachment.check`."""
        check_attachable(detector, stages)

    def attach(
        self, detector: nn.Module, stages: Sequence['Stage'], number: int
    ) -> LayerAuxiliary:
        """A fresh network on the first layer that reads the group of stage ``number``."""
        path = stages[number].group.consumers[0].path
        network = self.build(detector, detector.get_submodule(path).out_channels)
        return LayerAuxiliary(network, self.sampler(detector), path)

    def build(self, detector: nn.Module, in_channels: int) -> AuxiliaryNetwork:
        """A fresh auxiliary network on the detector's device.

        Args:
            detector: An mmdet one-stage detector with an anchor-based head.
            in_channels: Channels of the convolution output that the network will read.

        Raises:
            CompressionError: The head is not anchor-based, or its boxes are not coded relative
                to default boxes.
        """
        head = self.sampler(detector).head
        coder = head.bbox_coder
        if not isinstance(coder, _CODERS):
            raise CompressionError(
                f'The localization auxiliary predicts boxes relative to default boxes, which '
                f'{type(coder).__name__} of {type(head).__name__} does not do; set '
                f'model.bbox_head.bbox_coder to DeltaXYWHBBoxCoder or use another detector.'
            )
        network = AuxiliaryNetwork(in_channels, head.num_classes, coder, **self._network)
        return network.to(next(detector.parameters()).device)

    def sampler(self, detector: nn.Module) -> DefaultBoxSampler:
        """The choice of default boxes by the detector's own head.

        Args:
            detector: An mmdet one-stage detector with an anchor-based head.

        Raises:
            CompressionError: There is no such head, or it was built without `train_cfg`.
        """
        if is_model_wrapper(detector):
            detector = detector.module
        head = getattr(detector, 'bbox_head', None)
        if head is None:
            raise CompressionError(
                f'The localization auxiliary needs an anchor-based one-stage head, but '
                f'{type(detector).__name__} has no bbox_head. Use another detector, or take the '
                f'attachment out of the config.'
            )
        return DefaultBoxSampler(head, max_positives=self.max_positives)
