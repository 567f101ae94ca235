"""Where a student mimics its teacher: regions of the images, chosen anew for every batch.

Li et al., "Mimicking Very Efficient Network for Object Detection" (CVPR 2017), section 3.1: the
proposals of the small network, its top 256 or 512, positives and negatives 1:1. For a one-stage
detector the default boxes that its head is trained on take their place [our reading]. The paper
found ground-truth boxes with random negatives worse, and the whole map useless: both are here
to compare with.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from torch import Tensor, nn

from mmdet_lcp.auxiliary.localization_auxiliary import LocalizationAuxiliary
from mmdet_lcp.detectors.default_boxes import DefaultBoxSampler
from mmdet_lcp.detectors.recorded_calls import Call, recorded_calls
from mmdet_lcp.errors import CompressionError

IOU_THRESHOLD = 0.5  # for detectors whose RoI head names none
TRIES = 16  # random boxes drawn for each negative that is wanted


class Regions(ABC):
    """Chooses the regions of a batch.

    Attributes:
        paths: modules of the student whose outputs `choose` reads.
    """

    paths: Sequence[str] = ()

    def watch(self) -> AbstractContextManager:
        """Open while the student computes its own losses."""
        return nullcontext()

    @abstractmethod
    def choose(self, taps: Mapping[str, Any], data_samples: Sequence) -> Tensor | None:
        """The regions of the batch that has been watched.

        Args:
            taps: outputs of `paths` on it.
            data_samples: its mmdet samples, with `gt_instances`.

        Returns:
            (R, 5): index of the image, then the box (x1, y1, x2, y2) in pixels of the padded
            batch image; ``None`` for the whole map.
        """


class WholeMap(Regions):
    """Every cell of every map."""

    def choose(self, taps: Mapping[str, Any], data_samples: Sequence) -> None:
        """See `Regions.choose`."""
        return


class DefaultBoxes(Regions):
    """The default boxes that a one-stage head is trained on, matched by its own assigner.

    Positives, and as many negatives: those that the student takes for objects most.

    Args:
        sampler: made for the student, with one negative per positive.
    """

    def __init__(self, sampler: DefaultBoxSampler) -> None:
        self.sampler = sampler
        self.paths = sampler.paths

    def watch(self) -> AbstractContextManager:
        """See `DefaultBoxSampler.watch`."""
        return self.sampler.watch()

    def choose(self, taps: Mapping[str, Any], data_samples: Sequence) -> Tensor:
        """See `Regions.choose`."""
        return self.sampler.sample(taps, data_samples).rois


class Proposals(Regions):
    """The proposals of a two-stage student's own RPN, as it trains its RoI head on them.

    Positive is what the RoI head's assigner says, and of each kind those with the highest scores
    are taken, 1:1. Where the RoI head counts the objects themselves among the proposals, as it
    does by mmdet's default, so do we: else an RPN at the beginning of its training has no
    positive ones.

    Args:
        detector: the student.
        count: regions of an image at most.

    Raises:
        CompressionError: it has no RPN or no RoI head with an assigner.
    """

    def __init__(self, detector: nn.Module, count: int) -> None:
        rpn, roi_head = (getattr(detector, name, None) for name in ('rpn_head', 'roi_head'))
        assigner = _first(getattr(roi_head, 'bbox_assigner', None))
        if rpn is None or assigner is None:
            raise CompressionError(
                f"mimic.regions='proposals' takes those of the student's RPN, and its RoI head's "
                f'assigner: {type(detector).__name__} was built without '
                f'{"rpn_head" if rpn is None else "model.train_cfg"}. Give it one, or take '
                f"mimic.regions='ground_truth'."
            )
        self.rpn_head = rpn
        self.assigner = assigner
        sampler = _first(getattr(roi_head, 'bbox_sampler', None))
        self.with_objects = bool(getattr(sampler, 'add_gt_as_proposals', False))
        self.count = count
        self._calls: list[Call] = []

    @contextmanager
    def watch(self) -> Iterator[None]:
        """See `Regions.watch`."""
        with recorded_calls(self.rpn_head, 'predict_by_feat') as calls:
            yield
        self._calls = calls

    @torch.no_grad()
    def choose(self, taps: Mapping[str, Any], data_samples: Sequence) -> Tensor:
        """See `Regions.choose`."""
        calls, self._calls = self._calls, []
        chosen = [
            self._choose_image(*image) for image in zip(calls[0].result, data_samples, strict=True)
        ]
        return with_index(chosen)

    def _choose_image(self, found: Any, sample: Any) -> Tensor:
        # The RoI head renames the boxes once it has them.
        boxes = get_box_tensor(found.priors if 'priors' in found else found.bboxes).detach()
        scores = found.scores.detach()
        objects = get_box_tensor(sample.gt_instances.bboxes).to(boxes)
        if self.with_objects:
            boxes = torch.cat([objects, boxes])
            scores = torch.cat([scores.new_ones(len(objects)), scores])
        if len(objects) and len(boxes):
            overlaps = bbox_overlaps(boxes, objects).amax(1)
            positive = overlaps >= getattr(self.assigner, 'pos_iou_thr', IOU_THRESHOLD)
        else:
            positive = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
        return boxes[balanced(scores, positive, self.count)]


class GroundTruth(Regions):
    """The objects, and as many random boxes of the same sizes that overlap none.

    Args:
        count: regions of an image at most.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    @torch.no_grad()
    def choose(self, taps: Mapping[str, Any], data_samples: Sequence) -> Tensor:
        """See `Regions.choose`; the random boxes come from PyTorch's global generator."""
        chosen = []
        for sample in data_samples:
            objects = get_box_tensor(sample.gt_instances.bboxes).float()
            objects = objects[: self.count // 2]
            shape = sample.metainfo['img_shape'][:2]
            chosen.append(torch.cat([objects, random_negatives(objects, shape)]))
        return with_index(chosen)


def random_negatives(objects: Tensor, shape: tuple[int, int]) -> Tensor:
    """Boxes at random places with the sizes of the objects, whose IoU with each is below 0.5.

    Args:
        objects: (G, 4) in pixels.
        shape: (height, width) of the image.

    Returns:
        (G, 4), or fewer where the objects leave little room.
    """
    if not len(objects):
        return objects
    height, width = shape
    # One generator for all devices: a run on a GPU draws what a run on a CPU draws.
    order = torch.randint(len(objects), (TRIES * len(objects),))
    places = torch.rand(len(order), 2)
    sizes = (objects[:, 2:] - objects[:, :2]).cpu()[order]
    room = torch.tensor([float(width), float(height)]) - sizes
    corners = places * room.clamp(min=0)
    boxes = torch.cat([corners, corners + sizes], dim=1).to(objects)
    free = bbox_overlaps(boxes, objects).amax(1) < IOU_THRESHOLD
    return boxes[free][: len(objects)]


def balanced(scores: Tensor, positive: Tensor, count: int) -> Tensor:
    """Indices of the highest-scoring positives and of as many highest-scoring negatives.

    Args:
        scores: (P,).
        positive: (P,) boolean.
        count: how many in all at most; without a positive there is one negative.
    """
    kinds = []
    wanted = count // 2
    for kind in (positive, ~positive):
        where = kind.nonzero().flatten()
        top = scores[where].topk(min(wanted, len(where))).indices
        kinds.append(where[top])
        wanted = max(1, len(top))
    return torch.cat(kinds)


def with_index(boxes: Sequence[Tensor]) -> Tensor:
    """(R, 5) from the boxes of each image."""
    rows = [
        torch.cat([found.new_full((len(found), 1), float(index)), found], dim=1)
        for index, found in enumerate(boxes)
    ]
    return torch.cat(rows)


def make_regions(kind: str, student: nn.Module, count: int) -> Regions:
    """What `mimic.regions` names, for a student.

    Args:
        kind: ``'proposals'``, ``'ground_truth'`` or ``'map'``.
        student: an mmdet detector with its `train_cfg`.
        count: regions of an image at most, >= 2.

    Raises:
        CompressionError: the student has no such regions.
    """
    if kind == 'map':
        return WholeMap()
    if kind == 'ground_truth':
        return GroundTruth(count)
    if getattr(student, 'roi_head', None) is not None:
        return Proposals(student, count)
    limits = dict(max_positives=count // 2, neg_pos_ratio=1.0)
    try:
        return DefaultBoxes(LocalizationAuxiliary(**limits).sampler(student))
    except CompressionError as error:
        raise CompressionError(
            f"mimic.regions='proposals': {error} Or take mimic.regions='ground_truth'."
        ) from error


def _first(value: Any) -> Any:
    return (value[0] if value else None) if isinstance(value, (list, tuple)) else value
