"""Made-up ground truth, for one step of anything that a detector does."""

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
_MASK_STRIDE = 4


def plain_samples(inputs: Tensor) -> list[DetDataSample]:
    """Mmdet samples that say of each of a batch's images that it is not padded."""
    height, width = map(int, inputs.shape[-2:])  # numbers, where a tracer has tensors
    shape = (height, width)
    return [
        DetDataSample(
            metainfo=dict(
                img_id=number,
                img_shape=shape,
                ori_shape=shape,
                pad_shape=shape,
                batch_input_shape=shape,
                scale_factor=(1.0, 1.0),
                border=(0, height, 0, width),  # of the image in the padded one, for CornerNet
            )
        )
        for number in range(len(inputs))
    ]


def made_samples(detector: nn.Module, inputs: Tensor, seed: int = 0) -> list[DetDataSample]:
    """Mmdet samples with objects in them, for a detector's loss; on the images' device.

    Args:
        detector: says how many classes there are, and what it learns beside boxes.
        inputs: preprocessed images, (N, C, H, W).
        seed: of which pixels look alike.

    Returns:
        Of each image two or three objects with boxes and labels; where the detector learns from
        them also with masks, with a map of classes, with which pixels look alike (BoxInst), and
        where it proposes no regions by itself (Fast R-CNN) with proposals.
    """
    generator = torch.Generator().manual_seed(seed)
    size = tuple(map(int, inputs.shape[-2:]))
    scale = torch.tensor([size[1], size[0], size[1], size[0]])
    samples = plain_samples(inputs)
    for number, sample in enumerate(samples):
        shown = OBJECTS[: 2 + number % 2]
        boxes = torch.tensor([corners for corners, _ in shown]) * scale
        labels = torch.tensor([label % num_classes(detector) for _, label in shown])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        if _learns_masks(detector):
            sample.gt_instances.masks = _masks(boxes, size)
        _add_likeness(sample, detector, size, generator)
        _add_class_map(sample, detector, size)
        if not getattr(detector, 'with_rpn', True):
            sample.proposals = InstanceData(bboxes=_around(boxes, scale))
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
    return [sample.to(inputs.device) for sample in samples]


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


def _masks(boxes: Tensor, size: tuple[int, int]) -> BitmapMasks:
    """Objects that fill their boxes."""
    masks = np.zeros((len(boxes), *size), dtype=np.uint8)
    for mask, box in zip(masks, boxes.round().int().tolist(), strict=True):
        mask[box[1] : box[3], box[0] : box[2]] = 1
    return BitmapMasks(masks, *size)


def _add_likeness(
    sample: DetDataSample, detector: nn.Module, size: tuple[int, int], generator: torch.Generator
) -> None:
    """Which neighbours of a pixel look like it, as BoxInst's preprocessor finds by colour."""
    preprocessor = getattr(detector, 'data_preprocessor', None)
    head = getattr(detector, 'mask_head', None)
    side = getattr(preprocessor, 'pairwise_size', None) or getattr(head, 'pairwise_size', None)
    if side is None:
        return
    stride = getattr(preprocessor, 'mask_stride', _MASK_STRIDE)
    shape = (1, side**2 - 1, size[0] // stride, size[1] // stride)
    alike = (torch.rand(shape, generator=generator) < 0.5).float()
    sample.gt_instances.pairwise_masks = alike.repeat(len(sample.gt_instances), 1, 1, 1)


def _add_class_map(sample: DetDataSample, detector: nn.Module, size: tuple[int, int]) -> None:
    """The class of each pixel: those of the objects in their boxes, around them one of stuff."""
    things = getattr(detector, 'num_things_classes', 0)
    stuff = getattr(detector, 'num_stuff_classes', 0)
    head = getattr(getattr(detector, 'roi_head', None), 'semantic_head', None)
    if head is None and not (things and stuff):
        return
    around = head.num_classes - 1 if head is not None else things
    classes = torch.full((1, *size), around)
    objects = sample.gt_instances
    corners = objects.bboxes.round().int().tolist()
    for (left, top, right, bottom), label in zip(corners, objects.labels.tolist(), strict=True):
        classes[:, top:bottom, left:right] = label
    sample.gt_sem_seg = PixelData(sem_seg=classes)


def _around(boxes: Tensor, scale: Tensor) -> Tensor:
    """Regions on the objects, beside them, and of all sizes."""
    sides = torch.tensor([0.1, 0.2, 0.4, 0.6, 0.9])[:, None] * scale
    squares = torch.cat([torch.zeros(len(sides), 2), sides[:, 2:]], 1)
    moved = torch.minimum(boxes + 0.05 * scale, scale)
    return torch.cat([boxes, moved, squares])
