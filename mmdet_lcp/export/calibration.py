"""Images that activations are measured on: training images, prepared as for testing."""

import copy

import numpy as np
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from torch import nn

from mmdet_lcp.engine.preflight import readable
from mmdet_lcp.errors import CompressionError


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
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise CompressionError(f'{count!r} images: take a whole number from 1')
    pipeline = [
        step
        for step in cfg.test_dataloader.dataset.pipeline
        if not str(step['type']).startswith('LoadAnnotations')
    ]
    data = _each_image_once(copy.deepcopy(cfg.train_dataloader.dataset), pipeline)
    with readable('train_dataloader'):
        dataset = DATASETS.build(data)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
    found = []
    for index in order[:count].tolist():
        batch = detector.data_preprocessor(pseudo_collate([dataset[index]]), False)
        found.append(batch['inputs'].cpu().float().numpy())
    return found


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
