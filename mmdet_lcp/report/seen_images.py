"""Images of a test set as two detectors see them: what pictures are drawn of."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import mmcv
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet_lcp.datasets.object_labels import object_labels
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.one_image import evaluating

_LOOKED_AT = 200  # images of each part of the set, for one with objects


@dataclass
class SeenImage:
    """An image, and what is on it; boxes in its own pixels.

    Attributes:
        image: RGB, uint8, of shape (H, W, 3).
        truth: the ground truth; empty without annotations.
        dense: all detections of the detector before, ...
        compressed: ... and of the one after.
        remark: why it is shown, in words; '' if it only stands for the set.
    """

    image: np.ndarray
    truth: InstanceData
    dense: InstanceData
    compressed: InstanceData
    remark: str = ''


def see(
    dense: nn.Module, compressed: nn.Module, dataset: Sequence, indices: Sequence[int]
) -> list[SeenImage]:
    """Run both detectors on images of a data set; their modes are left as they were.

    Args:
        dense: An mmdet detector.
        compressed: Another one for the same classes.
        dataset: See `pictures.detections_side_by_side`.
        indices: Of the images.
    """
    seen = []
    with evaluating(dense, compressed):
        for index in indices:
            inputs, sample = item_of(dataset, index)
            truth = sample.gt_instances if 'gt_instances' in sample else InstanceData()
            found = [detect(detector, inputs, sample) for detector in (dense, compressed)]
            seen.append(SeenImage(original_image(inputs, sample), truth, *found))
    return seen


def item_of(dataset: Sequence, index: int) -> tuple[Tensor, DetDataSample]:
    """An image as a test pipeline packs it, and its data sample."""
    item = dataset[index]
    return (item['inputs'], item['data_samples']) if isinstance(item, dict) else tuple(item)


def over_the_set(dataset: Sequence, number: int) -> list[int]:
    """One image of each of so many equal parts of a data set: its middle one with objects.

    Raises:
        CompressionError: The data set is empty, or ``number`` is below 1.
    """
    if number < 1:
        raise CompressionError(f'a picture needs at least one image, not {number}.')
    count = len(dataset)
    if count == 0:
        raise CompressionError(
            'the test data set is empty, so there is nothing to draw; check ann_file and '
            'data_prefix of test_dataloader.dataset.'
        )
    if count <= number:
        return list(range(count))
    chosen = []
    for part in range(number):
        first, end = part * count // number, (part + 1) * count // number
        middle = (first + end) // 2
        around = sorted(range(first, end), key=lambda index: abs(index - middle))[:_LOOKED_AT]
        chosen.append(next((i for i in around if object_labels(dataset, i)), middle))
    return chosen


def detect(detector: nn.Module, inputs: Tensor, sample: DetDataSample) -> InstanceData:
    """Return one image's detections, in pixels of the original image, on the CPU."""
    batch = pseudo_collate([dict(inputs=inputs, data_samples=copy.deepcopy(sample))])
    return detector.test_step(batch)[0].pred_instances.cpu()


def original_image(inputs: Tensor, sample: DetDataSample) -> np.ndarray:
    """Return the image in its original size as RGB, from its file or from what was packed."""
    ori_shape = tuple(sample.metainfo.get('ori_shape', inputs.shape[1:]))[:2]
    path = sample.metainfo.get('img_path')
    if path and Path(path).is_file():
        image = mmcv.imread(path, channel_order='rgb')
        if image is not None and image.shape[:2] == ori_shape:
            return image
    shown = inputs[[min(channel, len(inputs) - 1) for channel in range(3)]].float()  # grey as grey
    if shown.max() > 255:  # more than 8 bits
        shown = shown * (255 / shown.max())
    image = shown.permute(1, 2, 0).clamp(0, 255).to(torch.uint8).cpu().numpy()[..., ::-1]
    scale = sample.metainfo.get('scale_factor')
    if scale is not None:  # what the pipeline padded lies to the right and below
        image = image[: round(ori_shape[0] * scale[1]), : round(ori_shape[1] * scale[0])]
    return cv2.resize(np.ascontiguousarray(image), ori_shape[::-1])
