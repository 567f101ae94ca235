"""Convolutions: plain, transposed, with groups, and those that compute something else."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from mmcv.cnn.bricks import wrappers
from mmcv.cnn.bricks.conv2d_adaptive_padding import Conv2dAdaptivePadding
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.balance import tie_whole
from mmdet_lcp.graph.layer_kinds.base import Axis, LayerKind, Positions, slice_tensor
from mmdet_lcp.graph.layer_kinds.unknown import Unknown
from mmdet_lcp.graph.trace_state import TraceState
from mmdet_lcp.registry import LAYER_KINDS

# Modules whose forward is one of these compute what their kind computes; others, such as
# convolutions that standardise their weights first, do not.
_PLAIN = {
    *(kind.forward for kind in (nn.Conv1d, nn.Conv2d, nn.Conv3d)),
    *(kind.forward for kind in (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)),
    *(kind.forward for kind in (wrappers.Conv2d, wrappers.Conv3d)),
    *(kind.forward for kind in (wrappers.ConvTranspose2d, wrappers.ConvTranspose3d)),
    Conv2dAdaptivePadding.forward,
}


def _is_plain(module: nn.Module) -> bool:
    return type(module).forward in _PLAIN


@LAYER_KINDS.register_module()
class Convolution(LayerKind):
    """In one to three dimensions, without groups."""

    modules = (_ConvNd,)
    sizes = {'in_channels': 'in_channels', 'out_channels': 'out_channels'}
    tensors = {'weight': {'in_channels': 1, 'out_channels': 0}, 'bias': {'out_channels': 0}}

    def takes(self, module: _ConvNd) -> bool:
        """One that computes what its class does."""
        return _is_plain(module) and module.groups == 1

    def channel_dim(self, module: _ConvNd, dims: int) -> int:
        """The one before those that the kernel runs over."""
        return dims - len(module.kernel_size) - 1

    def groups(self, module: _ConvNd) -> int | None:
        """Its own."""
        return module.groups if module.groups > 1 else None

    def macs(self, module: _ConvNd, source: Tensor, output: Tensor) -> dict[str, int]:
        """Each number of the output costs one kernel over the inputs of its group."""
        each = module.in_channels // module.groups * prod(module.kernel_size)
        return {'weight': output.numel() * each}

    def name(self, module: _ConvNd) -> str:
        """PyTorch's class, also of another library's subclass."""
        return f'Conv{len(module.kernel_size)}d'

    def options(self, module: _ConvNd) -> tuple[tuple[str, Any], ...]:
        """Of its constructor; instead of ``groups`` a group's (input, output) channels."""
        names = ('kernel_size', 'stride', 'padding', 'dilation', *self._more_options)
        options = [(name, getattr(module, name)) for name in names]
        options.append(('bias', module.bias is not None))
        if module.groups > 1:
            widths = (module.in_channels, module.out_channels)
            options.append(('group', tuple(width // module.groups for width in widths)))
        return tuple(options)

    _more_options: tuple[str, ...] = ()

    def narrower(self, module: _ConvNd) -> Callable[[int, int], tuple[nn.Module, int]]:
        """See the base class.

        A grouped convolution for one input has the groups that its outputs need, and their
        inputs; for more inputs it has all of its groups, each with its share of the channels,
        rounded up.
        """
        kind = getattr(nn, self.name(module))
        options, count = dict(self.options(module)), module.groups
        each = options.pop('group', None)

        def build(ins: int, outs: int) -> tuple[nn.Module, int]:
            groups = 1
            if each is not None and ins == 1:
                groups = -(-outs // each[1])
                ins, outs = (width * groups for width in each)
            elif each is not None:
                groups = count
                ins, outs = (-(-width // groups) * groups for width in (ins, outs))
            return kind(ins, outs, groups=groups, **options), ins

        return build


@LAYER_KINDS.register_module()
class GroupedConvolution(Convolution):
    """With groups of several inputs: loses whole groups, or equally many channels of each.

    Which of them is decided when all has been traced, see `balance.settle`.
    """

    def takes(self, module: _ConvNd) -> bool:
        """One that computes what its class does."""
        return _is_plain(module) and 1 < module.groups < module.in_channels

    def trace(
        self, state: TraceState, path: str, module: _ConvNd, source: Tensor, output: Tensor
    ) -> None:
        """As any convolution; that it has groups is noted."""
        super().trace(state, path, module, source, output)
        state.grouped[path] = module.groups

    def check(self, module: _ConvNd, axes: Positions, path: str) -> None:
        """Whole groups, or equally many channels of each, or both; the same groups on each axis.

        Raises:
            CompressionError: the plan does otherwise.
        """
        alive = []
        for axis, positions in axes.items():
            size = self._each(module, axis)
            counts = Counter(position // size for position in positions)
            if len(set(counts.values())) > 1:
                raise split_groups(path, size)
            alive.append(set(counts))
        if 'out_channels' not in axes:
            alive.append(set(range(module.groups)))
        if alive[0] != alive[-1]:
            raise CompressionError(
                f'the plan does not fit: {path} would lose other groups of its in_channels than '
                'of its out_channels'
            )

    def keep(self, module: _ConvNd, axes: Positions) -> None:
        """What stays of it: groups, and of each of them as many channels.

        Without ``in_channels`` all inputs of the groups stay whose outputs do.
        """
        sizes = {axis: self._each(module, axis) for axis in ('in_channels', 'out_channels')}
        first = next(iter(axes))
        alive = sorted({position // sizes[first] for position in axes[first]})
        ins, outs = (
            torch.tensor(axes.get(axis) or [n * size + i for n in alive for i in range(size)])
            for axis, size in sizes.items()
        )
        weight = module.weight.detach()
        columns = (ins % sizes['in_channels']).view(len(alive), -1)
        columns = columns.repeat_interleave(len(outs) // len(alive), 0).to(weight.device)
        index = columns.view(*columns.shape, *[1] * (weight.dim() - 2))
        index = index.expand(*columns.shape, *weight.shape[2:])
        kept = weight[outs.to(weight.device)].gather(1, index)
        module.weight = nn.Parameter(kept, requires_grad=module.weight.requires_grad)
        slice_tensor(module, 'bias', 0, outs)
        module.in_channels, module.out_channels, module.groups = len(ins), len(outs), len(alive)

    def zero(self, module: _ConvNd, axis: Axis, gone: Sequence[int]) -> None:
        """Each group reads with zeros what is gone of its own inputs."""
        if axis == 'out_channels':
            super().zero(module, axis, gone)
            return
        size = self._each(module, axis)
        blocks = module.weight.unflatten(0, (module.groups, -1))
        for position in gone:
            blocks[position // size, :, position % size] = 0

    def _each(self, module: _ConvNd, axis: Axis) -> int:
        """How many channels of an axis a group has."""
        return self.size(module, axis) // module.groups


@LAYER_KINDS.register_module()
class DepthwiseConvolution(GroupedConvolution):
    """With groups of one input: between two layers like a norm, it loses whole groups."""

    def takes(self, module: _ConvNd) -> bool:
        """One that computes what its class does."""
        return _is_plain(module) and module.groups > 1 and module.groups >= module.in_channels

    def trace(
        self, state: TraceState, path: str, module: _ConvNd, source: Tensor, output: Tensor
    ) -> None:
        """Each input goes with the outputs of its group."""
        dim = self.channel_dim(module, source.dim())
        columns = state.channels(source, dim)
        if path not in state.scales:
            state.scales[path] = state.ties.fresh(module.out_channels)
        tie_whole(state.ties, path, columns, state.scales[path], module.groups)
        state.mark(output, state.scales[path], dim)


@LAYER_KINDS.register_module()
class TransposedConvolution(Convolution):
    """Without groups."""

    modules = (_ConvTransposeNd,)
    tensors = {'weight': {'in_channels': 0, 'out_channels': 1}, 'bias': {'out_channels': 0}}
    _more_options = ('output_padding',)

    def macs(self, module: _ConvTransposeNd, source: Tensor, output: Tensor) -> dict[str, int]:
        """Each number of the input costs one kernel over the outputs of its group."""
        each = module.out_channels // module.groups * prod(module.kernel_size)
        return {'weight': source.numel() * each}

    def name(self, module: _ConvTransposeNd) -> str:
        """PyTorch's class, also of another library's subclass."""
        return f'ConvTranspose{len(module.kernel_size)}d'


@LAYER_KINDS.register_module()
class GroupedTransposedConvolution(TransposedConvolution):
    """With groups: its channels stay."""

    def takes(self, module: _ConvTransposeNd) -> bool:
        """One that computes what its class does."""
        return _is_plain(module) and module.groups > 1

    def trace(
        self, state: TraceState, path: str, module: nn.Module, source: Tensor, output: Tensor
    ) -> None:
        """What it reads stays, and what it writes is nobody's."""
        columns = state.channels(source, self.channel_dim(module, source.dim()))
        state.ties.fix(columns, f'{path} is a transposed convolution with groups')

    def check(self, module: nn.Module, axes: Positions, path: str) -> None:
        """None of its channels may go.

        Raises:
            CompressionError: always.
        """
        raise CompressionError(
            f'the plan does not fit: {path} is a transposed convolution with groups, which stays '
            'as it is'
        )


@LAYER_KINDS.register_module()
class UnknownConvolution(Unknown, Convolution):
    """A subclass with a forward of its own."""

    def takes(self, module: _ConvNd) -> bool:
        """One that computes something else than its base."""
        return not _is_plain(module)


@LAYER_KINDS.register_module()
class UnknownTransposedConvolution(Unknown, TransposedConvolution):
    """A subclass with a forward of its own."""

    def takes(self, module: _ConvTransposeNd) -> bool:
        """One that computes something else than its base."""
        return not _is_plain(module)


def split_groups(path: str, size: int) -> CompressionError:
    """The error for a plan that keeps parts of some groups."""
    return CompressionError(
        f'the plan does not fit: {path} works on groups of {size} channels, of which it would '
        'keep parts'
    )
