"""Whether a detector or a head turns outputs into detections by functions that are not mmdet's."""

from torch import nn

from mmdet_lcp.errors import CompressionError

# What mmdet calls on the way from outputs to detections.
FUNCTIONS = (
    'predict',
    'predict_bbox',
    'predict_mask',
    'predict_by_feat',
    '_predict_by_feat_single',
    '_bbox_post_process',
)
PACKAGE = 'mmdet.'


def foreign_function(module: nn.Module) -> str | None:
    """The first of `FUNCTIONS` that is not mmdet's; None if all are."""
    for name in FUNCTIONS:
        function = getattr(type(module), name, None)
        if function is not None and not function.__module__.startswith(PACKAGE):
            return name
    return None


def check_own(module: nn.Module, name: str) -> None:
    """Refuse a head whose detections the file would not have.

    Args:
        module: the head.
        name: its path in the detector, for the message.

    Raises:
        CompressionError: it overrides one of `FUNCTIONS` outside of mmdet.
    """
    found = foreign_function(module)
    if found is not None:
        raise CompressionError(
            f'{name} ({type(module).__name__}) cannot be exported with its post-processing: it '
            f"overrides mmdet's {found}, and what that computes would be missing in the file"
        )
