"""The images on which channels are scored, and the detector's own loss on them."""

import copy
from dataclasses import dataclass, field
from typing import Any

from mmdet.models.detectors import BaseDetector
from torch import Tensor, nn

from mmdet_lcp.compat.mean_over_ranks import this_rank_alone
from mmdet_lcp.detectors.roi_samples import RoISamples
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.graph.regions import Regions
from mmdet_lcp.seeds import seeded
from mmdet_lcp.training_mode import in_training

_NO_LOSS = (
    'the loss of the {} needs {}: give images as batches of mmdet with `data_samples`, or take a '
    'criterion and settings that need no loss, such as BackwardElimination with '
    "metric='variance', ThiNet, FPGM or a filter norm"
)


@dataclass
class SelectionImages:
    """One preprocessed batch.

    Attributes:
        inputs: (N, 3, H, W), normalised, on the detector's device.
        samples: regions for auxiliary networks, or ``None``.
        data_samples: mmdet's ground truth of each image.
        regions: what the heads of a two-stage detector run on, or ``None``.
        numbers: of each image over all ranks, or ``None`` where nobody has counted.
    """

    inputs: Tensor
    samples: RoISamples | None
    data_samples: list = field(default_factory=list)
    regions: Regions | None = None
    numbers: tuple[int, ...] | None = None

    def first(self) -> 'SelectionImages':
        """The first image alone, without the auxiliary network's regions."""
        regions = None if self.regions is None else self.regions.first()
        return SelectionImages(self.inputs[:1], None, self.data_samples[:1], regions)

    def run(self, detector: nn.Module) -> Any:
        """`tensor_forward` of a detector on this batch, with its regions."""
        return tensor_forward(detector, self.inputs, self.data_samples or None, self.regions)

    @property
    def boxes(self) -> list[Tensor]:
        """The objects of each image, (G, 4) as (x1, y1, x2, y2) in pixels of the batch image."""
        found = []
        for sample in self.data_samples:
            boxes = sample.gt_instances.bboxes
            found.append(getattr(boxes, 'tensor', boxes))
        return found


def detection_loss(detector: nn.Module, images: SelectionImages, seed: int = 0) -> Tensor:
    """The detector's own training loss on one batch, a scalar: the sum of all its loss terms.

    It is that of a training step in which norms and dropout are held still, see `in_training`,
    and of this batch alone, whatever other ranks do; the detector and its mode stay as they are.
    Open `in_training` around this and the backward pass together. Gradients are on or off as the
    caller has them. What is drawn at random, such as the regions of two-stage detectors, is the
    same for the same seed.

    Raises:
        CompressionError: the network has no loss of its own, or there is no ground truth.
    """
    if not hasattr(detector, 'parse_losses'):
        raise CompressionError(_NO_LOSS.format(type(detector).__name__, 'a detector of mmdet'))
    if isinstance(detector, BaseDetector) and not images.data_samples:
        raise CompressionError(_NO_LOSS.format(type(detector).__name__, 'ground truth'))
    return parsed_loss(detector, images, seed)[0]


def parsed_loss(
    detector: nn.Module, images: SelectionImages, seed: int = 0
) -> tuple[Tensor, dict[str, Tensor]]:
    """`detection_loss` and each of its terms by name, of a detector that has a loss."""
    samples = copy.deepcopy(images.data_samples)  # some heads change them in place
    with in_training(detector), seeded(seed), this_rank_alone():
        return detector.parse_losses(detector.loss(images.inputs, samples))
