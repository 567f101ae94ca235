"""Checkpoints: a detector's weights, loaded strictly."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_lcp.engine.class_counts import classes_hint
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.plain_weights import read_weights

SHOWN = 5


def load_detector(detector: nn.Module, path: str | Path) -> dict[str, Any]:
    """Put a checkpoint's weights into a detector.

    mmengine loads non-strictly, so a layer of another shape would keep its random weights.

    Args:
        detector: a plain mmdet detector.
        path: a checkpoint of mmengine's (``state_dict`` inside) or a bare state dict.

    Returns:
        The checkpoint's ``meta``, or an empty dict.

    Raises:
        CompressionError: the file is no checkpoint, or its weights do not fit; the layers that
            differ are named.
    """
    weights, meta = read_weights(path)
    own = detector.state_dict()
    weights = _without_second_names(weights, own)
    problems = [
        f'{key}: {tuple(weights[key].shape)} in the file, {tuple(value.shape)} in the detector'
        for key, value in own.items()
        if key in weights and weights[key].shape != value.shape
    ]
    problems += [f'{key}: not in the file' for key in own if key not in weights]
    problems += [f'{key}: not in the detector' for key in weights if key not in own]
    if problems:
        more = f'\n  ... and {len(problems) - SHOWN} more' if len(problems) > SHOWN else ''
        listed = '\n  '.join(problems[:SHOWN])
        raise CompressionError(
            f"{path}: is a checkpoint of another architecture than the config's `model` "
            f'({type(detector).__name__}):\n  {listed}{more}\n'
            f'{classes_hint(detector, weights, meta)}'
            'Give `load_from` a checkpoint that was trained with this `model`.'
        )
    detector.load_state_dict(weights)
    return meta


def _without_second_names(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The weights without those that stand twice in the file, once under a name that it lacks.

    Some detectors give a module a second name while they train: DDQ's decoder gets the branches
    of its head (``decoder.aux_reg_branches``), and what mmengine saves then has both.

    Args:
        weights: of the file.
        own: of the detector.
    """
    by_end: dict[str, list[str]] = {}
    for key in own:
        by_end.setdefault('.'.join(key.split('.')[1:]), []).append(key)

    def second(key: str) -> bool:
        others = by_end.get('.'.join(key.split('.')[1:]), ())
        return any(o in weights and torch.equal(weights[o], weights[key]) for o in others)

    return {key: value for key, value in weights.items() if key in own or not second(key)}
