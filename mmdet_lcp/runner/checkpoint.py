"""Checkpoints: where a training begins, and a detector's weights, loaded strictly."""

import logging
import zipfile
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import find_latest_checkpoint
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import load_torch

SHOWN = 5


def begin_or_resume(work_dir: str | Path, load_from: str | None) -> tuple[bool, str | None]:
    """Where a training that may be resumed begins.

    mmengine resumes from `load_from` where it is set, as if the training had written it, and from
    the newest checkpoint only without it.

    Args:
        work_dir: of the training.
        load_from: the checkpoint whose weights it starts from the first time, if any.

    Returns:
        `resume` and `load_from` for mmengine's `Runner`: the newest whole checkpoint of the
        work_dir if it has one, else the beginning.
    """
    newest = _newest_checkpoint(Path(work_dir))
    return newest is not None, newest or load_from


def _newest_checkpoint(work_dir: Path) -> str | None:
    """Files of mmengine are written in place: one that is killed meanwhile leaves a part."""
    named = find_latest_checkpoint(str(work_dir))
    if named is None:  # the first one has not been written to its end
        return None
    if '://' in named or (named and _is_whole(Path(named))):  # a store writes whole objects
        return named
    numbered = [path for kind in ('epoch', 'iter') for path in work_dir.glob(f'{kind}_*.pth')]
    whole = [path for path in numbered if _is_whole(path)]
    newest = max(whole, key=lambda path: path.stat().st_mtime_ns, default=None)
    print_log(
        f'{work_dir}: last_checkpoint names {named or "nothing"}, which is no whole file; the '
        f'training {"begins again" if newest is None else f"goes on from {newest}"}',
        'current',
        logging.WARNING,
    )
    return None if newest is None else str(newest)


def _is_whole(path: Path) -> bool:
    """Whether it was written to its end, where a zip has its table; folders are DeepSpeed's."""
    return path.is_dir() or (path.is_file() and zipfile.is_zipfile(path))


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
    checkpoint = load_torch(path)
    weights = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not _is_state_dict(weights):
        raise CompressionError(f'{path}: holds no state_dict; name a checkpoint of the detector')
    weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    own = detector.state_dict()
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
            'Give `load_from` a checkpoint that was trained with this `model`.'
        )
    detector.load_state_dict(weights)
    meta = checkpoint.get('meta') if 'state_dict' in checkpoint else None
    return meta or {}


def _is_state_dict(data: Any) -> bool:
    return (
        isinstance(data, dict)
        and len(data) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in data.items())
    )
