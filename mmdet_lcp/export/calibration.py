"""Images that activations are measured on: training images, prepared as for testing.

For a network in full precision mmdet prepares them; for a file that takes images as they are read,
the runtime does, as it will where the file is used.
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from torch import nn

from mmdet_lcp.engine.preflight import readable
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.geometry import evaluation_pipeline
from mmdet_lcp_runtime import DetectionError, metadata
from mmdet_lcp_runtime.images import as_pixels
from mmdet_lcp_runtime.preparing import prepare


@torch.no_grad()
def calibration_images(
    cfg: Config, detector: nn.Module, count: int, seed: int = 0
) -> list[np.ndarray]:
    """Draw training images and prepare them with the pipeline of the test set.

    Args:
        cfg: a detector's whole config.
        detector: its data preprocessor is used.
        count: so many images, or all if there are fewer; >= 1.
        seed: of the drawing.

    Returns:
        (1, 3, H, W), float32, each.

    Raises:
        CompressionError: `count` is no such number, or the data cannot be read.
    """
    pipeline = [
        step
        for step in evaluation_pipeline(cfg)
        if not str(step['type']).startswith('LoadAnnotations')
    ]
    found = []
    for each in _drawn(cfg, pipeline, count, seed):
        batch = detector.data_preprocessor(pseudo_collate([each]), False)
        found.append(batch['inputs'].cpu().float().numpy())
    return found


def file_images(
    cfg: Config, description: dict[str, Any], count: int, seed: int = 0
) -> list[np.ndarray]:
    """Draw training images and prepare them as an exported file takes them.

    Args:
        cfg: a detector's whole config.
        description: of the file.
        count: so many images, or all if there are fewer; >= 1.
        seed: of the drawing.

    Returns:
        Batches of the file's size, (1, H, W, C) or (1, C, H, W) where it is free, in its type; a
        last batch that is not full is left out, unless it is the only one: then it is filled up.

    Raises:
        CompressionError: `count` is no such number, the data cannot be read, or an image does not
            fit the file.
    """
    # as bytes, which a file takes, also where mmdet's pipeline makes floats of them at once
    loading = [
        dict(step, to_float32=False) if step.get('to_float32') else step
        for step in evaluation_pipeline(cfg)
        if str(step['type']).rpartition('.')[2].startswith('LoadImage')
    ]
    if not loading:
        raise CompressionError(
            'the pipeline of test_dataloader or val_dataloader has no LoadImage... step: nothing '
            'reads the images'
        )
    wanted = metadata.image_input(description)
    found = []
    for each in _drawn(cfg, loading, count, seed):
        image = each['img'] if each['img'].ndim == 3 else each['img'][..., None]
        try:
            found.append(prepare(as_pixels(image, wanted.channels), wanted)[0])
        except DetectionError as error:
            raise CompressionError(f'{each.get("img_path", "an image")}: {error}') from error
    step = wanted.batch or 1
    found += [found[-1]] * (step - len(found))
    batches = [found[begin : begin + step] for begin in range(0, len(found), step)]
    return [np.ascontiguousarray(np.stack(each)) for each in batches if len(each) == step]


def _drawn(cfg: Config, pipeline: list, count: int, seed: int) -> Iterator[dict]:
    """Some training images through a pipeline."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise CompressionError(f'{count!r} images: take a whole number from 1')
    if not cfg.get('train_dataloader'):
        raise CompressionError(
            'the config has no train_dataloader: ranges of activations are measured on training '
            'images'
        )
    data = _each_image_once(copy.deepcopy(cfg.train_dataloader.dataset), pipeline)
    with readable('train_dataloader'):
        dataset = DATASETS.build(data)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
    for index in order[:count].tolist():
        yield dataset[index]


def _each_image_once(data: ConfigDict, pipeline: list) -> ConfigDict:
    """The images of a training set, those without objects too, in another pipeline.

    What repeats images (`RepeatDataset`, `ClassBalancedDataset`) or mixes several into one
    (`MultiImageMixDataset`) gives way to what it reads.
    """
    if 'dataset' in data:
        return _each_image_once(data.dataset, pipeline)
    if 'datasets' in data:
        data.datasets = [_each_image_once(part, pipeline) for part in data.datasets]
        return data
    data.pipeline = pipeline
    data.test_mode = True
    data.pop('filter_cfg', None)
    return data
