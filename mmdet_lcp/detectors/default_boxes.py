"""Default boxes for an auxiliary network, chosen by the detector's own rules.

LCP's auxiliary network reads the same default boxes that the detector is trained on (Xie et al.,
arXiv 1911.02237): whatever the detector's own assigner and sampler make of its boxes while it
computes its loss. Of these the negatives are the hardest under the detector's present scores (hard
negative mining: SSD, Liu et al., ECCV 2016, section 2.2).

One subclass a kind of box: `PriorBoxSampler` for anchors and points with an assigner (the RPN's
too), `PointBoxSampler` for FCOS, `ProposalSampler` for proposals.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor, nn

from mmdet_lcp.detectors.recorded_calls import Call, recorded_calls
from mmdet_lcp.detectors.roi_samples import RoISamples, batch_shape
from mmdet_lcp.detectors.taps import Taps
from mmdet_lcp.errors import CompressionError

# SSD's ratio, for detectors that have none of their own.
DEFAULT_NEG_POS_RATIO = 3.0

ANOTHER = 'Use another detector, or set pruning.attachment=None.'


@dataclass
class Candidates:
    """What a detector has made of one image's boxes.

    Attributes:
        positives: (P, 4) boxes matched to an object, as (x1, y1, x2, y2) in pixels.
        objects: (P,) index of each one's object among the image's.
        negatives: (M, 4) boxes that are background.
        hardness: (M,) of each, the higher the harder.
    """

    positives: Tensor
    objects: Tensor
    negatives: Tensor
    hardness: Tensor


class DefaultBoxSampler(ABC):
    """Picks positive and hard negative default boxes from those that a detector trains on.

    It listens while the detector computes its own loss; there are two ways to use it::

        with Taps(detector, sampler.paths) as taps, sampler.watch():
            losses = detector(inputs, data_samples, mode='loss')
        samples = sampler.sample(taps, data_samples)

        samples = sampler.sample_images(detector, inputs, data_samples)

    Both serve every kind of detector alike, one-stage, two-stage and anchor-free. Only what the
    detector itself draws at random (an RPN's or a RoI head's sampler) is random here, from
    PyTorch's global generator.

    Args:
        num_classes: object classes, the background not counted.
        neg_pos_ratio: negatives per positive, >= 0; ``inf`` keeps all that the detector takes.
            An image without a positive gives as many as one with one. ``None`` takes the
            detector's own, or 3 where it has none.
        max_positives: at most so many positives an image, which bounds the number of regions and
            so the cost; ``None`` keeps all. Where there are more, every so-manieth is kept, in
            the order of the detector.

    Attributes:
        head: whose boxes they are.
        paths: modules of the detector whose outputs `sample` reads.
        bbox_coder: the coder of the boxes' own head, or ``None``.

    Raises:
        CompressionError: a value is out of range.
    """

    head: nn.Module
    paths: list[str]
    bbox_coder: object = None

    def __init__(
        self, num_classes: int, neg_pos_ratio: float | None, max_positives: int | None
    ) -> None:
        check_limits(neg_pos_ratio, max_positives)
        self.num_classes = num_classes
        self.neg_pos_ratio = DEFAULT_NEG_POS_RATIO if neg_pos_ratio is None else neg_pos_ratio
        self.max_positives = max_positives
        self._calls: list[Call] = []

    @property
    @abstractmethod
    def watched(self) -> tuple[object, str]:
        """The object and its method that decides about one image's boxes in each call."""

    @abstractmethod
    def candidates(
        self, calls: Mapping[int, Call], taps: Mapping[str, Any], data_samples: Sequence
    ) -> list[Candidates]:
        """What the detector has made of the boxes of some images.

        Args:
            calls: the call that decided, by index of the image in the batch.
            taps: outputs of `paths` on the batch.
            data_samples: the batch's mmdet samples.

        Returns:
            One an image, in the order of ``calls``.
        """

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Open while the detector computes its loss on the images that `sample` is for."""
        with recorded_calls(*self.watched) as calls:
            yield
        self._calls = calls

    @torch.no_grad()
    def sample(self, taps: Mapping[str, Any], data_samples: Sequence) -> RoISamples:
        """Choose the default boxes of the batch that has been watched.

        Args:
            taps: outputs of `paths` on that batch.
            data_samples: its mmdet samples, with `gt_instances`.

        Returns:
            The regions, on the detector's device, without gradients.

        Raises:
            CompressionError: the detector has not matched boxes to objects once for each image.
        """
        calls, self._calls = self._calls, []
        objects = [sample.gt_instances for sample in data_samples]
        # Some heads skip images without objects; those give no regions.
        shown = list(range(len(objects)))
        if len(calls) != len(shown):
            shown = [index for index in shown if len(objects[index])]
        if len(calls) != len(shown):
            raise CompressionError(
                f'pruning.attachment: {type(self.head).__name__} has matched boxes to objects '
                f'{len(calls)} times for {len(objects)} images, not once for each, so the boxes '
                f'of each cannot be told. {ANOTHER}'
            )
        device = get_box_tensor(objects[0].bboxes).device
        found = self.candidates(dict(zip(shown, calls, strict=True)), taps, data_samples)
        parts = [
            self._pick(index, boxes, objects[index])
            for index, boxes in zip(shown, found, strict=True)
        ]
        nothing = torch.zeros(0, device=device)
        parts.append((nothing.view(0, 5), nothing.view(0, 4), nothing.long(), nothing.bool()))
        rois, gt_boxes, labels, positive = (torch.cat(c) for c in zip(*parts, strict=True))
        shape = batch_shape([sample.metainfo for sample in data_samples])
        return RoISamples(rois, gt_boxes, labels, positive, shape)

    @torch.no_grad()
    def sample_images(
        self, detector: nn.Module, inputs: Tensor, data_samples: Sequence
    ) -> RoISamples:
        """Let the detector compute its loss on a batch and choose from the boxes it takes.

        Args:
            detector: the one that this sampler was made for, in whichever mode; some heads have
                a loss in train mode alone, see `in_training`.
            inputs: preprocessed images (N, 3, H, W) on its device.
            data_samples: their mmdet samples, with `gt_instances`.

        Returns:
            See `sample`.

        Raises:
            CompressionError: see `sample`.
        """
        with Taps(detector, self.paths) as taps, self.watch():
            # A copy: RoI heads change given proposals in place.
            detector(inputs, copy.deepcopy(data_samples), mode='loss')
        return self.sample(taps, data_samples)

    def _pick(
        self, index: int, found: Candidates, objects: Any
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """RoIs, ground truth, labels and positive flags of one image."""
        picked = _even_shares(len(found.positives), self.max_positives)
        positives = found.positives[picked].float()
        ratio = self.neg_pos_ratio
        count = len(found.negatives)
        wanted = count if math.isinf(ratio) else min(count, int(ratio * max(len(picked), 1)))
        # The detector's own order where all are taken.
        hardest = slice(None) if wanted == count else found.hardness.topk(wanted).indices
        negatives = found.negatives[hardest].float()

        matched = found.objects[picked]
        boxes = torch.cat([positives, negatives])
        gt_boxes = torch.zeros_like(boxes)
        gt_boxes[: len(picked)] = get_box_tensor(objects.bboxes)[matched].to(boxes)
        labels = objects.labels.new_full((len(boxes),), self.num_classes)
        # An RPN that is a detector by itself is trained on one class, whatever the data says.
        labels[: len(picked)] = objects.labels[matched] if self.num_classes > 1 else 0
        rois = torch.cat([boxes.new_full((len(boxes), 1), float(index)), boxes], dim=1)
        return rois, gt_boxes, labels, torch.arange(len(boxes), device=boxes.device) < len(picked)


def check_limits(neg_pos_ratio: float | None, max_positives: int | None) -> None:
    """Raise a CompressionError for a value out of range; it names its key."""
    number = isinstance(neg_pos_ratio, (int, float)) and not isinstance(neg_pos_ratio, bool)
    if neg_pos_ratio is not None and not (number and neg_pos_ratio >= 0):
        raise CompressionError(
            f'neg_pos_ratio={neg_pos_ratio!r} must be a number of at least 0, or None for the '
            "detector's own."
        )
    whole = isinstance(max_positives, int) and not isinstance(max_positives, bool)
    if max_positives is not None and not (whole and max_positives >= 1):
        raise CompressionError(
            f'max_positives={max_positives!r} must be an integer of at least 1, or None for no '
            'limit.'
        )


def _even_shares(count: int, limit: int | None) -> Tensor:
    """Which of ``count`` to keep, rising: the middle of each of ``limit`` equal shares."""
    if limit is None or count <= limit:
        return torch.arange(count)
    return (2 * torch.arange(limit) + 1) * count // (2 * limit)
