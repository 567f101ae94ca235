"""What the config's `pruning.attachment` is: it decides what trains along, when, and how long."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import nn

from mmdet_lcp.auxiliary.attached_detector import Attachment
from mmdet_lcp.detectors.default_boxes import DefaultBoxSampler
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.stage import Stage


class StageAttachment(ABC):
    """Subclasses are registered in ``ATTACHMENTS`` and hold no weights themselves.

    Attributes:
        detector_losses: whether the detector's own losses are trained on, along with the
            attachment's.
    """

    detector_losses: bool = True

    def check(self, detector: nn.Module, stages: Sequence[Stage]) -> None:  # noqa: B027
        """Called before anything is trained.

        Raises:
            CompressionError: the attachment cannot serve this detector or one of these groups.
        """

    def sampler(self, detector: nn.Module) -> DefaultBoxSampler | None:
        """What chooses the regions of the selection images; ``None`` if none are needed."""
        return None

    def rounds(self, stages: Sequence[Stage]) -> list[int]:
        """How many times `pruning.finetune` is trained before each group is pruned, >= 0.

        Where it is 0 the attachment of the group before lives on, as it is; so the first is not.
        """
        return [1] * len(stages)

    @abstractmethod
    def attach(self, detector: nn.Module, stages: Sequence[Stage], number: int) -> Attachment:
        """A fresh attachment for the group of stage ``number`` and those that share it.

        Args:
            detector: the present detector.
            stages: of the whole run, in order.
            number: index among them.
        """


def check_attachable(detector: nn.Module, stages: Sequence[Stage]) -> None:
    """Check that an auxiliary network can read the layer after each of these groups.

    Raises:
        CompressionError: that layer is no convolution, or reads regions instead of images.
    """
    for stage in stages:
        path = stage.group.consumers[0].path
        consumer = detector.get_submodule(path)
        if path.startswith('roi_head.'):
            raise CompressionError(
                f'pruning.attachment: the auxiliary network reads maps of whole images, but the '
                f'layer after {stage.group.name} is {path}, which runs on single regions. Leave '
                f'that group out of pruning.layers, or set pruning.attachment=None.'
            )
        if not isinstance(consumer, nn.Conv2d):
            raise CompressionError(
                f'pruning.attachment: the auxiliary network reads a convolution, but the layer '
                f'after {stage.group.name} is {path}, a {type(consumer).__name__}. Leave that '
                f'group out of pruning.layers, or set pruning.attachment=None.'
            )
