"""Whether images fit a network: their type, their channels, and that it runs on them."""

import torch
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.example import input_channels
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.modes import in_eval


def check_type(network: nn.Module, inputs: Tensor) -> None:
    """See that images are of the type of a network's weights.

    Args:
        network: has weights.
        inputs: preprocessed images.

    Raises:
        CompressionError: they are not, or have no values.
    """
    if inputs.is_meta:
        raise CompressionError("images: tensors on the device 'meta' have no values")
    weights = next(p.dtype for p in network.parameters() if p.is_floating_point())
    if inputs.dtype == weights:
        return
    what = f'images: they are {inputs.dtype}, the weights of the network are {weights}'
    if not inputs.is_floating_point():
        raise CompressionError(f'{what}. Give them preprocessed, as in training')
    raise CompressionError(f'{what}. Give images.to({weights})')


@torch.no_grad()
def check_runs(network: nn.Module, inputs: Tensor) -> None:
    """Run a network on one image.

    Args:
        network: an mmdet detector, or any with a forward on one tensor.
        inputs: (N, C, H, W), preprocessed, of the network's type and on its device.

    Raises:
        CompressionError: it cannot; says so where the number of channels differs.
    """
    try:
        with in_eval(network):
            tensor_forward(network, inputs[:1])
    except Exception as error:  # a forward pass of someone else's may fail in any way
        expected, channels = input_channels(network), inputs.shape[1]
        if channels != expected:
            raise CompressionError(
                f'images: they have {channels} channels, and the first convolution of the '
                f'{type(network).__name__} reads {expected}'
            ) from error
        raise CompressionError(
            f'images: the {type(network).__name__} does not run on one of shape '
            f'{tuple(inputs[:1].shape)}: {error}'
        ) from error
