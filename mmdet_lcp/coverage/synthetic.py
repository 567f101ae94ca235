"""Images of noise with objects, for one step of anything a detector does."""

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
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
        detector: says how many classes there are, and whether it learns masks.
        seed: of the noise.

    Returns:
        (count, 3, size, size), and a sample each with boxes, labels and, for a head of masks,
        masks.
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
            )
        )
        shown = OBJECTS[: 2 + number % 2]
        boxes = torch.tensor([corners for corners, _ in shown]) * size
        labels = torch.tensor([label % num_classes(detector) for _, label in shown])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        if getattr(getattr(detector, 'roi_head', None), 'with_mask', False):
            masks = np.zeros((len(shown), size, size), dtype=np.uint8)
            for mask, box in zip(masks, boxes.round().int().tolist(), strict=True):
                mask[box[1] : box[3], box[0] : box[2]] = 1
            sample.gt_instances.masks = BitmapMasks(masks, size, size)
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
        samples.append(sample)
    return images, samples


def num_classes(detector: nn.Module) -> int:
    """Object classes of a detector; 1 if its head does not say."""
    head = getattr(getattr(detector, 'roi_head', detector), 'bbox_head', None)
    if isinstance(head, nn.ModuleList):
        head = head[0]
    count = getattr(head, 'num_classes', 1)
    return count if isinstance(count, int) else count[0]
