"""Images that activations are measured on: training images, prepared as for testing."""

import copy

import numpy as np
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.runner.preflight import readable


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
    if not isinstance(count, int) or count < 1:
        raise CompressionError(f'{count!r} images: take a whole number from 1')
    data = copy.deepcopy(cfg.train_dataloader.dataset)
    pipeline = cfg.test_dataloader.dataset.pipeline
    own = data
    while 'dataset' in own:  # RepeatDataset and the like
        own = own.dataset
    for part in own.get('datasets', [own]):
        part.pipeline = [
            step for step in pipeline if not str(step['type']).startswith('LoadAnnotations')
        ]
        part.test_mode = True
        _without_meta_of_boxes(part)
    with readable('train_dataloader'):
        dataset = DATASETS.build(data)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
    found = []
    for index in order[:count].tolist():
        batch = detector.data_preprocessor(pseudo_collate([dataset[index]]), False)
        found.append(batch['inputs'].cpu().float().numpy())
    return found


def _without_meta_of_boxes(data: ConfigDict) -> None:
    """All images count, those without objects too."""
    data.pop('filter_cfg', None)
