"""Linear layers: convolutions of one position, with their channels last."""

from collections.abc import Callable
from typing import Any

from mmcv.cnn.bricks import wrappers
from torch import Tensor, nn

from mmdet_lcp.graph.layer_kinds.base import LayerKind
from mmdet_lcp.graph.layer_kinds.unknown import Unknown
from mmdet_lcp.registry import LAYER_KINDS

_PLAIN = {nn.Linear.forward, wrappers.Linear.forward}


@LAYER_KINDS.register_module()
class LinearLayer(LayerKind):
    """``nn.Linear``."""

    modules = (nn.Linear,)
    sizes = {'in_channels': 'in_features', 'out_channels': 'out_features'}
    tensors = {'weight': {'in_channels': 1, 'out_channels': 0}, 'bias': {'out_channels': 0}}

    def takes(self, module: nn.Linear) -> bool:
        """One that computes what its class does."""
        return type(module).forward in _PLAIN

    def channel_dim(self, module: nn.Linear, dims: int) -> int:
        """The last one."""
        return dims - 1

    def macs(self, module: nn.Linear, source: Tensor, output: Tensor) -> dict[str, int]:
        """Each number of the output costs one row of the weight."""
        return {'weight': output.numel() * module.in_features}

    def name(self, module: nn.Linear) -> str:
        """PyTorch's class, also of another library's subclass."""
        return 'Linear'

    def options(self, module: nn.Linear) -> tuple[tuple[str, Any], ...]:
        """Of its constructor."""
        return (('bias', module.bias is not None),)

    def call_shape(self, module: nn.Linear, source: Tensor) -> tuple[int, ...]:
        """(rows,)."""
        return (source.numel() // source.shape[-1],)

    def narrower(self, module: nn.Linear) -> Callable[[int, int], tuple[nn.Module, int]]:
        """See the base class."""
        bias = module.bias is not None
        return lambda ins, outs: (nn.Linear(ins, outs, bias=bias), ins)


@LAYER_KINDS.register_module()
class UnknownLinearLayer(Unknown, LinearLayer):
    """A subclass with a forward of its own."""

    def takes(self, module: nn.Linear) -> bool:
        """One that computes something else than its base."""
        return type(module).forward not in _PLAIN
