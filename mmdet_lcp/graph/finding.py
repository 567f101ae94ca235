"""Find the channel groups of a detector: trace it, describe what was found, try it out."""

from operator import index

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.example import example_image
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.graph.groups import ChannelGroup, groups_of
from mmdet_lcp.graph.tracing import ChannelTrace
from mmdet_lcp.graph.verification import tried


def find_groups(detector: nn.Module, image_size: tuple[int, int]) -> list[ChannelGroup]:
    """Trace a detector and return all its channel groups, in order of execution.

    Args:
        detector: a plain mmdet detector; its weights and mode are left as they are.
        image_size: (height, width) of the traced image, in pixels.

    Raises:
        CompressionError: the detector's forward pass cannot be traced, or no such image exists.
    """
    _check_size(image_size)
    if next(detector.parameters(), None) is None:
        raise CompressionError(f'the {type(detector).__name__} has no parameters to prune')
    example = example_image(detector, image_size)
    trace = ChannelTrace()
    try:
        trace.run(detector, lambda: tensor_forward(detector, example))
        if not trace.writes:
            raise ValueError('no convolution or linear layer runs in it')
    except CompressionError:
        raise
    except Exception as error:  # a forward pass of someone else's may fail in any way
        raise CompressionError(
            f'{type(detector).__name__} could not be traced at image size {image_size}: {error}. '
            "Its forward(mode='tensor') must run on one image."
        ) from error
    return tried(detector, groups_of(trace, detector), image_size)


def _check_size(image_size: tuple[int, int]) -> None:
    try:
        height, width = map(index, image_size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise CompressionError(
            f'image_size is {image_size!r}; it must be (height, width), two whole numbers of '
            'pixels from 1'
        )
