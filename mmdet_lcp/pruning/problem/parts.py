"""A grouped convolution as its groups, each an ordinary convolution on its share of the channels.

What is solved for one kernel at a time, such as least squares, is solved for each group's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmdet_lcp.least_squares.moments import Moments
from mmdet_lcp.pruning.problem.layer import Layer


@dataclass
class Part:
    """One group of a consumer, or the whole of one without groups.

    Attributes:
        path: of the consumer.
        layer: the group as a layer of its own. Its weight, bias and norm share their memory with
            the consumer's: what is written in place there is written here.
        inputs: the consumer's input channels that it reads.
        outputs: the consumer's output channels that it writes.
    """

    path: str
    layer: Layer
    inputs: slice = field(default_factory=lambda: slice(None))
    outputs: slice = field(default_factory=lambda: slice(None))


def parts_of(path: str, layer: Layer) -> dict[str, Part]:
    """The groups of a consumer by a name of their own; one without groups by its path."""
    groups = getattr(layer.module, 'groups', 1)
    if groups == 1:
        return {path: Part(path, layer)}
    ins, outs = layer.inputs // groups, len(layer.module.weight) // groups
    parts = {}
    for number in range(groups):
        inputs = slice(number * ins, (number + 1) * ins)
        outputs = slice(number * outs, (number + 1) * outs)
        own = layer.index // ins == number
        part = Layer(
            _group(layer.module, ins, outputs),
            layer.index[own] - inputs.start,
            layer.root[own],
            _norm(layer.norm, outputs),
        )
        parts[f'{path}[{number}]'] = Part(path, part, inputs, outputs)
    return parts


def reading_together(
    parts: Mapping[str, Part], moments: Mapping[str, tuple[Moments, Moments]]
) -> list[list[str]]:
    """Names of the parts, in order, those together whose least squares have one matrix.

    They have their rows in common (see `second_moments`), the same of them belong to the same
    channels, and all have an intercept or none.
    """
    found: list[list[str]] = []
    for name, part in parts.items():
        for names in found:
            other = parts[names[0]].layer
            if (
                all(a.xx is b.xx for a, b in zip(moments[name], moments[names[0]], strict=True))
                and torch.equal(part.layer.index, other.index)
                and torch.equal(part.layer.root, other.root)
                and part.layer.module.weight.shape[1:] == other.module.weight.shape[1:]
                and part.layer.intercept == other.intercept
            ):
                names.append(name)
                break
        else:
            found.append([name])
    return found


def _group(module: nn.Conv2d, inputs: int, outputs: slice) -> nn.Conv2d:
    group = nn.Conv2d(
        inputs,
        outputs.stop - outputs.start,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        bias=module.bias is not None,
        padding_mode=module.padding_mode,
        device='meta',
    )
    for name in ('weight', 'bias'):
        values: Tensor | None = getattr(module, name)
        if values is not None:
            shared = nn.Parameter(values.detach()[outputs], requires_grad=False)
            setattr(group, name, shared)
    return group


def _norm(norm: nn.Module | None, outputs: slice) -> nn.Module | None:
    """What a shift of the outputs can be put into: the running mean of a batch norm."""
    if norm is None:
        return None
    part = nn.Module()
    part.register_buffer('running_mean', torch.as_tensor(norm.running_mean)[outputs])
    return part
