"""The size of the images that a detector is given when it is deployed."""

from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import BaseLoop
from torch import nn

from mmdet_lcp.engine.preflight import readable
from mmdet_lcp.errors import CompressionError


def deployed_image_size(runner: Any, detector: nn.Module) -> tuple[int, int]:
    """(height, width) in pixels of an image of the test set, or of the validation set.

    Args:
        runner: an mmengine runner; both of its data sets are opened.
        detector: its detector.

    Raises:
        CompressionError: there is no such set, or it cannot be read.
    """
    loop = evaluation_loop(runner)
    with torch.no_grad():
        item = pseudo_collate([loop.dataloader.dataset[0]])
        inputs = detector.data_preprocessor(item, False)['inputs']
    return tuple(inputs.shape[-2:])


def evaluation_loop(runner: Any) -> BaseLoop:
    """The loop over a runner's test set; over its validation set where there is none.

    Raises:
        CompressionError: there is neither, or one cannot be read.
    """
    loops = []
    for name in ('val', 'test'):
        if getattr(runner, f'_{name}_loop') is not None:
            with readable(f'{name}_dataloader` or `{name}_evaluator'):
                loop = getattr(runner, f'{name}_loop')
                loop.dataloader.dataset[0]
                loops.append(loop)
    if not loops:
        raise CompressionError(
            'the config has neither `val_dataloader` nor `test_dataloader`: the size of images '
            'could not be told'
        )
    return loops[-1]
