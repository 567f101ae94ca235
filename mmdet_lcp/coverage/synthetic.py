"""Images of noise with objects, for one step of anything a detector does."""

import numpy as np
import torch
from mmdet.models.dense_heads import RTMDetInsHead
from mmdet.models.detectors import MaskFormer
from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

# Corners of the objects as parts of the image, and their classes. One fills nearly all of it, for
# the last level of a pyramid.
OBJECTS = (((0.1, 0.1, 0.45, 0.5), 0), ((0.05, 0.08, 0.97, 0.95), 1), ((0.6, 0.05, 0.9, 0.3), 0))


def synthetic_batch(
    count: int, size: int, detector: nn.Module, seed: int = 0
) -> tuple[Tensor, list[DetDataSample]]:
    """Images as a detector's preprocessor gives them, and their ground truth.

    Args:
        count: images, >= 1.
        size: their side in pixels.
        detector: says how many classes there are, and what it learns beside boxes.
        seed: of the noise.

    Returns:
        (count, 3, size, size), and a sample each with boxes and labels; where the detector learns
        from them also with masks, with a map of classes, with which pixels look alike (BoxInst),
        and where it proposes no regions by itself (Fast R-CNN) with proposals.
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, size, size, generator=generator)
    samples = []
    for number in range(count):
        shape = (size, size)
        sample = DetDataSample(
            metainfo=dict(
                img_id=number,
                img_shape=shape,
                ori_shape=shape,
                pad_shape=shape,
                batch_input_shape=shape,
                scale_factor=(1.0, 1.0),
                border=(0, size, 0, size),  # of the image in the padded one, to CornerNet's heads
            )
        )
        shown = OBJECTS[: 2 + number % 2]
        boxes = torch.tensor([corners for corners, _ in shown]) * size
        labels = torch.tensor([label % num_classes(detector) for _, label in shown])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        if _learns_masks(detector):
            sample.gt_instances.masks = _masks(boxes, size)
        _add_likeness(sample, detector, size, generator)
        _add_class_map(sample, detector, size)
        if not getattr(detector, 'with_rpn', True):
            sample.proposals = InstanceData(bboxes=_around(boxes, size))
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
        samples.append(sample)
    return images, samples


def num_classes(detector: nn.Module) -> int:
    """Object classes of a detector; 1 if its head does not say."""
    head = _first(getattr(getattr(detector, 'roi_head', detector), 'bbox_head', None))
    if head is None:
        head = getattr(detector, 'mask_head', None)
    count = getattr(head, 'num_classes', None) or getattr(detector, 'num_things_classes', 1)
    return count if isinstance(count, int) else count[0]


def _first(head: nn.Module | None) -> nn.Module | None:
    """The head, or the first of a cascade's."""
    return head[0] if isinstance(head, nn.ModuleList) else head


def _learns_masks(detector: nn.Module) -> bool:
    """Whether the loss of a detector reads the objects' masks."""
    return (
        isinstance(detector, SingleStageInstanceSegmentor | MaskFormer)
        or isinstance(getattr(detector, 'bbox_head', None), RTMDetInsHead)
        or getattr(getattr(detector, 'roi_head', None), 'with_mask', False)
    )


def _masks(boxes: Tensor, size: int) -> BitmapMasks:
    """Objects that fill their boxes."""
    masks = np.zeros((len(boxes), size, size), dtype=np.uint8)
    for mask, box in zip(masks, boxes.round().int().tolist(), strict=True):
        mask[box[1] : box[3], box[0] : box[2]] = 1
    return BitmapMasks(masks, size, size)


def _add_likeness(
    sample: DetDataSample, detector: nn.Module, size: int, generator: torch.Generator
) -> None:
    """Which neighbours of a pixel look like it, as BoxInst's preprocessor finds by colour."""
    preprocessor = getattr(detector, 'data_preprocessor', None)
    if not hasattr(preprocessor, 'pairwise_size'):
        return
    side = size // preprocessor.mask_stride
    shape = (1, preprocessor.pairwise_size**2 - 1, side, side)
    alike = (torch.rand(shape, generator=generator) < 0.5).float()
    sample.gt_instances.pairwise_masks = alike.repeat(len(sample.gt_instances), 1, 1, 1)


def _add_class_map(sample: DetDataSample, detector: nn.Module, size: int) -> None:
    """The class of each pixel: those of the objects in their boxes, around them one of stuff."""
    things = getattr(detector, 'num_things_classes', 0)
    stuff = getattr(detector, 'num_stuff_classes', 0)
    head = getattr(getattr(detector, 'roi_head', None), 'semantic_head', None)
    if head is None and not (things and stuff):
        return
    around = head.num_classes - 1 if head is not None else things
    classes = torch.full((1, size, size), around)
    objects = sample.gt_instances
    corners = objects.bboxes.round().int().tolist()
    for (left, top, right, bottom), label in zip(corners, objects.labels.tolist(), strict=True):
        classes[:, top:bottom, left:right] = label
    sample.gt_sem_seg = PixelData(sem_seg=classes)


def _around(boxes: Tensor, size: int) -> Tensor:
    """Regions on the objects, beside them, and of all sizes."""
    sides = torch.tensor([0.1, 0.2, 0.4, 0.6, 0.9]) * size
    squares = torch.stack([sides * 0, sides * 0, sides, sides], 1)
    moved = (boxes + 0.05 * size).clamp(max=size)
    return torch.cat([boxes, moved, squares])
