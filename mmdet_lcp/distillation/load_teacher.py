"""The teacher that a config names: built and loaded, strictly."""

from pathlib import Path
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmdet_lcp.config.file import read_config
from mmdet_lcp.distillation.config import TeacherConfig
from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.seeds import seeded


def load_teacher(config: TeacherConfig, where: str) -> tuple[nn.Module, dict[str, Any]]:
    """Build a detector from its config file, and load its weights.

    Args:
        config: names both files.
        where: the config key, for messages.

    Returns:
        The detector, and its checkpoint's ``meta``.

    Raises:
        CompressionError: a file is missing or no config or checkpoint, or they do not fit.
    """
    if config.config is None or config.checkpoint is None:
        raise CompressionError(
            f'{where} is missing: name the large detector, '
            f"{where}=dict(config='....py', checkpoint='....pth')"
        )
    cfg = _read(config.config, where)
    if not Path(config.checkpoint).is_file():
        raise CompressionError(
            f'{where}.checkpoint={config.checkpoint!r}: there is no such file; train the '
            f'teacher first, or name another one'
        )
    with seeded(0):  # its random weights, soon overwritten, must not shift the student's
        detector = MODELS.build(cfg.model)
    try:
        meta = load_detector(detector, config.checkpoint)
    except CompressionError as error:
        raise CompressionError(f'{where}: {error}') from error
    return detector, meta


def _read(path: str, where: str) -> Config:
    try:
        cfg = read_config(path)
    except CompressionError as error:
        raise CompressionError(f'{where}.config: {error}') from error
    if not isinstance(cfg.get('model'), dict):
        raise CompressionError(f'{where}.config={path!r} has no `model`')
    return cfg
