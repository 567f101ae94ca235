"""Models that hold several detectors are refused: a semi-supervised one trains two."""

from mmdet.models.detectors import SemiBaseDetector
from torch import nn

from mmdet_lcp.errors import CompressionError


def check_single(detector: nn.Module) -> None:
    """See that a model is one detector.

    A distilling detector of mmdet (LD, LAD) is one: its teacher is none of its modules.

    Raises:
        CompressionError: says where the detector to prune is.
    """
    if isinstance(detector, SemiBaseDetector):
        raise CompressionError(
            f'{type(detector).__name__} holds two detectors, the `student` and the `teacher`, its '
            'moving average, which would have to lose the same channels. Prune one of them, a '
            'plain detector: in a config, model=the content of model.detector, with the weights '
            "that the checkpoint has under 'teacher.' (or 'student.'), without that prefix; in "
            'Python, net.teacher'
        )
