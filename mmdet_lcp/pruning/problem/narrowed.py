"""A layer some of whose input channels have kernels of zeros, without these channels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mmdet_lcp.pruning.problem.layer import Layer


def columns_of(layer: Layer, stay: Tensor) -> Tensor | None:
    """Input channels of a consumer that are read if only some of the group's channels stay.

    Args:
        layer: the consumer.
        stay: of each of the group's channels, whether it stays.

    Returns:
        Their numbers; ``None`` where all are read, or the layer is of a kind that is run whole.
    """
    module = layer.module
    if type(module) not in (nn.Conv2d, nn.Linear) or getattr(module, 'groups', 1) != 1:
        return None
    read = torch.ones(layer.inputs, dtype=torch.bool, device=layer.index.device)
    read[layer.index] = stay.to(layer.index.device)[layer.root]
    return None if bool(read.all()) else read.nonzero().flatten()


def narrowed(module: nn.Module, inputs: Tensor, columns: Tensor | None) -> Tensor:
    """What a layer reads of its inputs if only some of them are read; see `columns_of`."""
    if columns is None:
        return inputs
    dim = -1 if isinstance(module, nn.Linear) else 1
    return inputs.index_select(dim, columns.to(inputs.device))


def output_of(module: nn.Module, weight: Tensor, inputs: Tensor, columns: Tensor | None) -> Tensor:
    """What a layer writes with another kernel.

    Args:
        module: the layer; its own kernel is not used.
        weight: the kernel, of the layer's shape.
        inputs: what it reads, `narrowed`.
        columns: see `columns_of`; elsewhere the kernel has to be zero. Its gradient comes out as
            zero there.
    """
    if columns is None:
        return functional_call(module, {'weight': weight}, (inputs,))
    weight = weight.index_select(1, columns.to(weight.device))
    if isinstance(module, nn.Linear):
        return F.linear(inputs, weight, module.bias)
    return module._conv_forward(inputs, weight, module.bias)
