"""The model inside what several ranks train, and detectors inside what trains several of them."""

from mmengine.model import is_model_wrapper
from torch import nn

from mmdet_lcp.errors import CompressionError


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside mmengine's wrapper for several ranks, or itself without one."""
    return model.module if is_model_wrapper(model) else model


def check_plain(detector: nn.Module) -> None:
    """Refuse a model that holds several detectors: a semi-supervised one trains two.

    A distilling detector of mmdet (LD, LAD) is a plain one: its teacher is no part of it.

    Raises:
        CompressionError: says where the detector to prune is.
    """
    from mmdet.models.detectors import SemiBaseDetector

    if not isinstance(detector, SemiBaseDetector):
        return
    name = type(detector).__name__
    raise CompressionError(
        f'{name} holds two detectors, a student and its moving average, the teacher: both would '
        "have to lose the same channels. Prune one of them, a plain detector: in a config, model="
        "the content of model.detector, and its weights from the checkpoint's keys that begin "
        "with 'teacher.' (or 'student.'), without that prefix; in Python, net.teacher"
    )
