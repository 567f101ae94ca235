"""A few images of the test set, as a file takes them: what it is tried on before it is kept."""

from collections.abc import Iterator
from typing import Any

import mmcv
import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config

from mmdet_lcp.export.geometry import Geometry, evaluation_datasets


def photo_paths(cfg: Config, count: int) -> Iterator[list[str]]:
    """The first files of the test set, and of the validation set: a list of each data set.

    Args:
        cfg: a detector's whole config.
        count: of files, >= 1.
    """
    for data in evaluation_datasets(cfg):
        try:
            dataset = DATASETS.build({**data, 'pipeline': [], 'test_mode': True})
            yield [dataset.get_data_info(n)['img_path'] for n in range(min(count, len(dataset)))]
        except Exception:  # data sets of any kind fail in any way where their files are missing
            continue


def first_photos(cfg: Config, geometry: Geometry, channels: int, count: int) -> np.ndarray | None:
    """The first images of the test set, or of the validation set.

    Args:
        cfg: a detector's whole config.
        geometry: of the input.
        channels: of an image.
        count: of images, >= 1.

    Returns:
        (N, H, W, C), uint8, blue first, N <= `count`; None where the images cannot be read: that
        is no mistake, a detector may be exported where its data is not.
    """
    flag = 'grayscale' if channels == 1 else 'color'
    for paths in photo_paths(cfg, count):
        try:
            images = [fitted(mmcv.imread(path, flag), geometry) for path in paths]
        except Exception:  # readers of any kind fail in any way
            continue
        images = [image.reshape(*image.shape[:2], -1) for image in images]
        if images and images[0].shape[-1] == channels:
            return np.stack(images)
    return None


def fitted(image: np.ndarray, geometry: Geometry) -> np.ndarray:
    """An image (h, w, C) at the size of the input, as `geometry` says."""
    height, width = geometry.size
    if geometry.mode == 'stretch':
        return mmcv.imresize(image, (width, height))
    scale = min(height / image.shape[0], width / image.shape[1])
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    value: Any = geometry.pad_value or [0.0]
    value = value[0] if len(value) == 1 or image.ndim == 2 else tuple(value)
    return mmcv.impad(mmcv.imresize(image, tuple(size)), shape=(height, width), pad_val=value)
