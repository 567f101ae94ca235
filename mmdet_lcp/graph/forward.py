"""One way to run a detector's layers without its post-processing, two-stage detectors included.

mmdet's ``mode='tensor'`` lets a two-stage detector choose its proposals by NMS, so that a change
of the weights changes which regions its heads see, and how many. Here the regions can be given.
"""

import inspect
from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet_lcp.graph.regions import Regions, given_rois

# Sides of square regions in pixels: one at least for each level of any usual RoI extractor, and
# none near a boundary between two levels.
SIDES = (10, 21, 42, 83, 166, 333, 666, 1331, 2662)


def is_two_stage(detector: nn.Module) -> bool:
    """Whether a detector has heads that run on regions."""
    return getattr(detector, 'roi_head', None) is not None


def takes_mode(model: nn.Module) -> bool:
    """Whether a model has mmengine's forward, with a mode; others have one on images alone."""
    return 'mode' in inspect.signature(model.forward).parameters


def tensor_forward(
    detector: nn.Module,
    inputs: Tensor,
    data_samples: Sequence | None = None,
    regions: Regions | None = None,
) -> Any:
    """What mmdet's forward in ``mode='tensor'`` gives, with fixed regions.

    Gradients are on or off as the caller has them; so is train or eval mode.

    Args:
        detector: an mmdet detector, any module with its forward, or with one on images alone.
        inputs: preprocessed images, (N, C, H, W).
        data_samples: their mmdet samples; by default such as say that images are not padded.
        regions: what the heads of a two-stage detector run on; by default `default_regions`.

    Returns:
        Nested tuples, lists or dicts of tensors. Of a two-stage detector the outputs of the RPN
        and of the RoI head.
    """
    if data_samples is None:
        if not isinstance(detector, BaseDetector):
            return detector(inputs, mode='tensor') if takes_mode(detector) else detector(inputs)
        data_samples = plain_samples(inputs)
    if not takes_mode(detector):
        return detector(inputs)
    if not is_two_stage(detector):
        return detector.forward(inputs, data_samples, mode='tensor')
    features = detector.extract_feat(inputs)
    proposed = detector.rpn_head(features) if detector.with_rpn else ()
    regions = regions or default_regions(inputs)
    proposals = [InstanceData(bboxes=boxes) for boxes in regions.proposals]
    with given_rois(detector, regions.rois):
        found = detector.roi_head.forward(features, proposals, data_samples)
    return proposed, found


def default_regions(inputs: Tensor) -> Regions:
    """The squares of `SIDES` at the top left of each of a batch's images."""
    boxes = inputs.new_tensor([[2, 2, 2 + side, 2 + side] for side in SIDES])
    return Regions([boxes] * len(inputs))


def plain_samples(inputs: Tensor) -> list[DetDataSample]:
    """Mmdet samples that say of each of a batch's images that it is not padded."""
    height, width = map(int, inputs.shape[-2:])  # numbers, where a tracer has tensors
    return [_plain_sample((height, width)) for _ in inputs]


def _plain_sample(shape: tuple[int, int]) -> DetDataSample:
    return DetDataSample(
        metainfo=dict(
            img_id=0,
            img_shape=shape,
            ori_shape=shape,
            pad_shape=shape,
            batch_input_shape=shape,
            scale_factor=(1.0, 1.0),
        )
    )
