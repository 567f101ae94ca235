"""Models that hold several detectors are refused: a semi-supervised one trains two."""

from typing import Any

from mmdet.models.detectors import SemiBaseDetector
from mmdet.registry import MODELS
from torch import nn

from mmdet_lcp.errors import CompressionError


def check_single(detector: nn.Module) -> None:
    """See that a model is one detector.

    A distilling detector of mmdet (LD, LAD) is one: its teacher is none of its modules.

    Raises:
        CompressionError: says where the detector to prune is.
    """
    _check(type(detector))


def check_single_config(model: Any) -> None:
    """The same of a config's `model`, before it is built; other mistakes in it are left alone.

    Raises:
        CompressionError: see `check_single`.
    """
    name = model.get('type') if isinstance(model, dict) else None
    _check(MODELS.get(name) if isinstance(name, str) and name else name)


def _check(kind: Any) -> None:
    if isinstance(kind, type) and issubclass(kind, SemiBaseDetector):
        raise CompressionError(
            f'{kind.__name__} holds two detectors, the `student` and the `teacher`, its moving '
            'average, which would have to lose the same channels. Prune one of them, a plain '
            'detector: in a config, model=the content of model.detector, with the weights that '
            "the checkpoint has under 'teacher.' (or 'student.'), without that prefix; in Python, "
            'net.teacher'
        )
