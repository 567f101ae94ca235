"""The regions of a batch of images that an auxiliary network reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class RoISamples:
    """The regions of one batch that an auxiliary network reads.

    Attributes:
        rois: (R, 5): image index in the batch, then the default box (x1, y1, x2, y2) in pixels
            of the padded batch image. Image by image, positives before negatives.
        gt_boxes: (R, 4) matched ground truth in the same pixels; zeros for negatives.
        labels: (R,) class index; num_classes (background) for negatives.
        positive: (R,) boolean.
        img_shape: (height, width) of the padded batch image in pixels.
    """

    rois: Tensor
    gt_boxes: Tensor
    labels: Tensor
    positive: Tensor
    img_shape: tuple[int, int]

    @classmethod
    def of_images(cls, images: Sequence['RoISamples']) -> 'RoISamples':
        """Those of a batch, from those of its images one by one."""
        rois = [image.rois.clone() for image in images]
        for number, own in enumerate(rois):
            own[:, 0] = number
        rest = ('gt_boxes', 'labels', 'positive')
        return cls(
            torch.cat(rois),
            *(torch.cat([getattr(image, name) for image in images]) for name in rest),
            images[0].img_shape,
        )


def batch_shape(metas: Sequence[dict]) -> tuple[int, int]:
    """(height, width) of the padded batch image in pixels, from mmdet's meta data."""
    shapes = [meta.get('batch_input_shape', meta['pad_shape'])[:2] for meta in metas]
    return max(int(height) for height, _ in shapes), max(int(width) for _, width in shapes)
