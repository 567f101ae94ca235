"""Made-up ground truth, for one step of anything that a detector does."""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

# Corners of the objects as parts of the image, and their classes. One fills nearly all of it, for
# the last level of a pyramid.
OBJECTS = (((0.1, 0.1, 0.45, 0.5), 0), ((0.05, 0.08, 0.97, 0.95), 1), ((0.6, 0.05, 0.9, 0.3), 0))
# Neighbours that a pixel is compared with by its colour: 3 x 3 without itself.
_PAIRS = 8


def plain_samples(inputs: Tensor) -> list[DetDataSample]:
    """Mmdet samples that say of each of a batch's images that it is not padded."""
    height, width = map(int, inputs.shape[-2:])  # numbers, where a tracer has tensors
    return [_plain_sample((height, width), number) for number, _ in enumerate(inputs)]


def made_samples(detector: nn.Module, inputs: Tensor) -> list[DetDataSample]:
    """Mmdet samples with objects in them, for a detector's loss.

    Args:
        detector: says how many classes there are, and what it has no layers for.
        inputs: preprocessed images, (N, C, H, W).

    Returns:
        Of each image two or three objects with boxes, labels and, if they are learnt, masks; the
        same boxes as proposals, for a detector without an RPN; a map of classes; and no objects
        to ignore.
    """
    samples = plain_samples(inputs)
    for number, sample in enumerate(samples):
        _fill(sample, OBJECTS[: 2 + number % 2], detector, inputs)
    return samples


def _fill(sample: DetDataSample, shown: Sequence, detector: nn.Module, inputs: Tensor) -> None:
    """Put objects into a sample; on the images' device, as a preprocessor leaves them."""
    height, width = map(int, inputs.shape[-2:])
    device = inputs.device
    parts = torch.tensor([corners for corners, _ in shown])
    boxes = parts * torch.tensor([width, height, width, height])
    labels = torch.tensor([label % num_classes(detector) for _, label in shown])
    masks = np.zeros((len(shown), height, width), dtype=np.uint8)
    for mask, box in zip(masks, boxes.round().int().tolist(), strict=True):
        mask[box[1] : box[3], box[0] : box[2]] = 1
    sample.gt_instances = InstanceData(bboxes=boxes.to(device), labels=labels.to(device))
    if learns_masks(detector):
        sample.gt_instances.masks = BitmapMasks(masks, height, width)
    if hasattr(getattr(detector, 'mask_head', None), 'pairwise_size'):  # BoxInst's, of colours
        pairs = torch.ones(len(shown), _PAIRS, -(-height // 4), -(-width // 4))
        sample.gt_instances.pairwise_masks = pairs.to(device)
    if getattr(detector, 'roi_head', None) is not None and not detector.with_rpn:
        sample.proposals = InstanceData(bboxes=boxes.to(device))
    sample.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(masks[:1]).long().to(device))
    sample.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4, device=device),
        labels=torch.zeros(0, dtype=torch.long, device=device),
    )


def learns_masks(detector: nn.Module) -> bool:
    """Whether any head of a detector has a loss of masks."""
    if getattr(detector, 'mask_head', None) is not None:
        return True
    return any(hasattr(module, 'loss_mask') for module in detector.modules())


def num_classes(detector: nn.Module) -> int:
    """Object classes of a detector; 1 if its head does not say."""
    head = getattr(getattr(detector, 'roi_head', detector), 'bbox_head', None)
    if isinstance(head, nn.ModuleList):
        head = head[0]
    count = getattr(head, 'num_classes', 1)
    return count if isinstance(count, int) else count[0]


def _plain_sample(shape: tuple[int, int], number: int) -> DetDataSample:
    return DetDataSample(
        metainfo=dict(
            img_id=number,
            img_shape=shape,
            ori_shape=shape,
            pad_shape=shape,
            batch_input_shape=shape,
            scale_factor=(1.0, 1.0),
        )
    )
