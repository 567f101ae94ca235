"""The attachment `DiscriminationAuxiliary`: DCP's additional losses as a few config keys."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from mmdet_lcp.auxiliary.base import StageAttachment, check_attachable
from mmdet_lcp.auxiliary.object_classifier import LayerClassifier, ObjectClassifier
from mmdet_lcp.detectors.object_classes import count_classes
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.registry import ATTACHMENTS


@ATTACHMENTS.register_module()
class DiscriminationAuxiliary(StageAttachment):
    """P additional losses, evenly inserted; it holds no weights itself.

    Source: DCP (Zhuang et al., NeurIPS 2018), algorithm 1. The groups are split in order into P
    consecutive parts, as even as possible. At the end of each part, on the output of the first
    layer that reads its last group, sits an auxiliary classifier (`ObjectClassifier`). Before a
    part's first group is pruned, classifier and detector are trained with its loss L_S^p and the
    detector's own losses L_f; the part's groups are then pruned one after the other against that
    classifier, without training in between. Our readings:

    - labels are those of the objects, read from the objects' crops of the feature map, since
      images of a detection set have no single label;
    - a part is trained as long as layer-wise methods train for its groups together:
      `pruning.finetune` times their number, its schedule stretched along.

    Args:
        losses: P, at least 1; no more are inserted than there are groups.
        output_size: Bins along each side of an object's box, which are averaged, at least 1.
        sampling_ratio: Sample points along each side of a bin, at least 1.
        detector_losses: False trains with L_S^p alone: the backbone is pruned as a classifier,
            then used in the detector, which is how papers on detectors run DCP as a baseline.

    Raises:
        CompressionError: A value is out of range; the message names its key.
    """

    def __init__(
        self,
        losses: int = 3,
        output_size: int = 7,
        sampling_ratio: int = 2,
        detector_losses: bool = True,
    ) -> None:
        if not isinstance(losses, int) or isinstance(losses, bool) or losses < 1:
            raise CompressionError(f'losses={losses!r} must be an integer of at least 1.')
        if not isinstance(detector_losses, bool):
            raise CompressionError(f'detector_losses={detector_losses!r} must be True or False.')
        self.count = losses
        self.detector_losses = detector_losses
        self._network = dict(output_size=output_size, sampling_ratio=sampling_ratio)
        # The parts know their ranges: a wrong value is told of now, not when training begins.
        ObjectClassifier(1, 1, **self._network)

    def parts(self, groups: int) -> list[range]:
        """The consecutive parts of so many groups, none of them empty, as ranges of indices."""
        count = min(self.count, groups)
        bounds = [groups * part // count for part in range(count + 1)]
        return [range(first, end) for first, end in pairwise(bounds)]

    def check(self, detector: nn.Module, stages: Sequence[Stage]) -> None:
        """See `StageAttachment.check`."""
        count_classes(detector)
        check_attachable(detector, [stages[part[-1]] for part in self.parts(len(stages))])

    def rounds(self, stages: Sequence[Stage]) -> list[int]:
        """All of a part's training comes before its first group."""
        rounds = [0] * len(stages)
        for part in self.parts(len(stages)):
            rounds[part[0]] = len(part)
        return rounds

    def attach(self, detector: nn.Module, stages: Sequence[Stage], number: int) -> LayerClassifier:
        """A fresh classifier at the end of the part that stage ``number`` belongs to."""
        part = next(part for part in self.parts(len(stages)) if number in part)
        path = stages[part[-1]].group.consumers[0].path
        network = self.build(detector, detector.get_submodule(path).out_channels)
        return LayerClassifier(network, path)

    def build(self, detector: nn.Module, in_channels: int) -> ObjectClassifier:
        """A fresh auxiliary classifier on the detector's device.

        Args:
            detector: An mmdet detector.
            in_channels: Channels of the convolution output that the classifier will read.

        Raises:
            CompressionError: The detector's head does not say how many classes there are.
        """
        network = ObjectClassifier(in_channels, count_classes(detector), **self._network)
        return network.to(next(detector.parameters()).device)
