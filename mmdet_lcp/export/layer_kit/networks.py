"""A layer as a network of its own, in the surroundings that it has in a detector.

Alone, a layer would be timed with what brings its input into the runtime's own layout and its
output back: of a depth-wise convolution that takes longer than the layer. So it stands between two
convolutions of one position, from a few channels and to a few, as in a detector between others.
What these take is timed by networks without the layer, one for each width and size, and taken off.
A cheap layer that leaves the shape as it is runs several times in a row.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmdet_lcp.measure.latency_table import LayerShape

# Channels at both ends of a network.
ENDS = 8
# Layers below so many multiply-accumulates run so many times.
CHEAP, REPEATS = 30e6, 4
# Numbers that weights repeat: different ones, which pack well all the same.
_PATTERN = torch.linspace(-0.05, 0.05, 251)

ACTIVATIONS = {
    'relu': nn.ReLU,
    'relu6': nn.ReLU6,
    'leaky_relu': lambda: nn.LeakyReLU(0.1),
    'silu': nn.SiLU,
    'hardswish': nn.Hardswish,
    'sigmoid': nn.Sigmoid,
    'gelu': nn.GELU,
}


@dataclass
class Bench:
    """A network to time.

    Attributes:
        network: in eval mode; takes one tensor.
        input: shape of that.
        repeats: how often the layer runs in it.
        brackets: (channels, height, width) at the layer's input and output, of which what stands
            around it depends; none for a layer that stands alone.
    """

    network: nn.Module
    input: tuple[int, ...]
    repeats: int = 1
    brackets: tuple[tuple[int, int, int], ...] = ()


def bench_of(shape: LayerShape, ins: int, outs: int) -> Bench:
    """The network of a layer.

    Args:
        shape: the layer; among its options may be ``'activation'``, one of `ACTIVATIONS`.
        ins: its input channels, as `LayerShape.build` takes them.
        outs: its output channels.
    """
    layer, size = shape.build(ins, outs)
    activation = dict(shape.options).get('activation')
    after = [] if activation is None else [ACTIVATIONS[activation]()]
    if isinstance(layer, nn.Linear) and len(size) == 2:
        network = _Rows(layer, after)
        return Bench(_filled(network), (1, 1, *size))
    if len(size) != 4 or shape.dim != 1:
        return Bench(_filled(nn.Sequential(layer, *after)), tuple(size))
    with torch.no_grad():
        output = layer.eval()(torch.zeros(size)).shape
    repeats = 1
    if output == torch.Size(size) and _macs(layer, output) < CHEAP:
        repeats = REPEATS
    head = nn.Conv2d(ENDS, size[1], 1)
    tail = nn.Conv2d(output[1], ENDS, 1)
    # the same module several times: its weights lie in the file once
    network = nn.Sequential(head, *[layer, *after] * repeats, tail)
    around = (tuple(size[1:]), tuple(output[1:]))
    return Bench(_filled(network), (1, ENDS, *size[2:]), repeats, around)


def bracket_of(channels: int, height: int, width: int) -> Bench:
    """The network of what stands around a layer: a few channels to many, and back."""
    network = nn.Sequential(nn.Conv2d(ENDS, channels, 1), nn.Conv2d(channels, ENDS, 1))
    return Bench(_filled(network), (1, ENDS, height, width))


class _Rows(nn.Module):
    """A linear layer behind an input of four axes, which every converter knows."""

    def __init__(self, layer: nn.Linear, after: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(layer, *after)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images.reshape(images.shape[-2:]))


def _macs(layer: nn.Module, output: torch.Size) -> float:
    """Of a convolution about; the weights of what is no convolution, at each place."""
    weights = sum(parameter.numel() for parameter in layer.parameters())
    return weights * output[2] * output[3]


def _filled(network: nn.Module) -> nn.Module:
    """Give all weights numbers that pack well."""
    with torch.no_grad():
        for parameter in network.parameters():
            repeated = _PATTERN.repeat(-(-parameter.numel() // len(_PATTERN)))
            parameter.copy_(repeated[: parameter.numel()].view_as(parameter))
    return network.eval()
