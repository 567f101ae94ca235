"""What a kind of layer answers, and which kind a module is of.

A kind says in plain data which attributes count the channels of a module and which dimensions of
its tensors they lie along. From that follow how it is traced, narrowed, zeroed, and what one
channel costs; a kind that differs overrides the method.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.trace_state import TraceState
from mmdet_lcp.registry import LAYER_KINDS

Axis = Literal['in_channels', 'out_channels']
AXES: tuple[Axis, ...] = ('in_channels', 'out_channels')
# Channels that stay, by axis, as a module counts them now.
Positions = dict[Axis, list[int]]


class LayerKind:
    """A kind of layer; register a subclass in `LAYER_KINDS`.

    A kind with input channels has kernels: it reads some channels and writes others, as a
    convolution does. One without takes each channel by itself, as a norm does.

    Attributes:
        modules: classes that it is for, subclasses included; or names of classes, wherever they
            come from, without subclasses. The nearest class of a module decides, and of several
            kinds for it the one registered last.
        sizes: attribute of the module that counts the channels, by axis. A kind with kernels has
            ``'in_channels'`` and ``'out_channels'``, one without the latter alone. Empty: such
            modules are traced only, and stay as they are.
        tensors: parameters and buffers, by name: the dimension that each axis lies along. A
            module's tensor may be ``None``.
        kept: names of tensors that keep their values when channels are zeroed, such as a
            variance.
        whole: whether `trace` stands for all that happens inside the module.
        known: whether the module computes what its kind says; of others all channels stay.
        mixes: whether the values of a channel depend on the other channels, as in L2Norm.
    """

    modules: tuple[type[nn.Module] | str, ...] = ()
    sizes: Mapping[Axis, str] = {}
    tensors: Mapping[str, Mapping[Axis, int]] = {}
    kept: tuple[str, ...] = ()
    whole = True
    known = True
    mixes = False

    def __init_subclass__(cls) -> None:
        """Check what a kind declares.

        Raises:
            CompressionError: it contradicts itself.
        """
        if not isinstance(cls.modules, tuple) or not all(
            isinstance(m, str) or (isinstance(m, type) and issubclass(m, nn.Module))
            for m in cls.modules
        ):
            raise CompressionError(
                f'{cls.__name__}: its `modules` must be a tuple of classes of modules, such as '
                f'(MyLayer,), not {cls.modules!r}'
            )
        named = [*cls.sizes, *(axis for dims in cls.tensors.values() for axis in dims)]
        missing = [axis for axis in named if axis not in AXES or axis not in cls.sizes]
        if missing:
            raise CompressionError(
                f'{cls.__name__}: its tensors have the axis {missing[0]!r}, which is not in its '
                f'`sizes`; axes are {" and ".join(AXES)}'
            )
        if 'in_channels' in cls.sizes and 'out_channels' not in cls.sizes:
            raise CompressionError(f'{cls.__name__}: its `sizes` lack out_channels')
        if 'in_channels' in cls.sizes and cls.macs is LayerKind.macs:
            raise CompressionError(
                f'{cls.__name__}: it reads channels and writes others, so it needs a method '
                '`macs` that counts its multiply-accumulates'
            )

    @property
    def has_kernels(self) -> bool:
        """Whether it reads channels and writes others."""
        return 'in_channels' in self.sizes

    def takes(self, module: nn.Module) -> bool:
        """Whether a module of one of `modules` is of this kind."""
        return True

    def check_names(self, module: nn.Module, path: str) -> None:
        """Check that a module has what `sizes` and `tensors` name.

        Args:
            module: of this kind.
            path: of the module, for the message.

        Raises:
            CompressionError: it lacks something; kind, module and name are told.
        """
        for where, names in (('sizes', self.sizes.values()), ('tensors', self.tensors)):
            for name in names:
                if not hasattr(module, name):
                    raise CompressionError(
                        f'{type(self).__name__}.{where} names {name!r}, which {path}, a '
                        f'{type(module).__name__}, does not have'
                    )

    # ------------------------------------------------------------------ the trace

    def trace(
        self, state: TraceState, path: str, module: nn.Module, source: Tensor, output: Tensor
    ) -> None:
        """Note what a run of the module has read, scaled or written.

        Args:
            state: takes the notes.
            path: of the module.
            module: of this kind.
            source: its first argument.
            output: what it has returned.
        """
        into, out = self.channel_dim(module, source.dim()), self.channel_dim(module, output.dim())
        if self.has_kernels:
            state.read(path, state.channels(source, into))
            state.mark(output, state.write(path, self.size(module, 'out_channels')), out)
        elif source in state.labels:
            labels = state.labels[source]
            if self.sizes:
                state.scale(path, state.channels(source, into))
            state.label(output, labels)

    def channel_dim(self, module: nn.Module, dims: int) -> int:
        """Which dimension of a feature map of ``dims`` dimensions has the channels."""
        return 1

    def groups(self, module: nn.Module) -> int | None:
        """Number of groups of neighbouring channels that are worked on apart, or ``None``."""
        return None

    # ------------------------------------------------------------------ surgery

    def size(self, module: nn.Module, axis: Axis) -> int:
        """Number of channels of one axis in `sizes`."""
        return getattr(module, self.sizes[axis])

    def check(self, module: nn.Module, axes: Positions, path: str) -> None:
        """Check that these channels can stay without the others.

        Args:
            module: of this kind.
            axes: positions that stay, by axis.
            path: of the module, for the message.

        Raises:
            CompressionError: they cannot.
        """

    def keep(self, module: nn.Module, axes: Positions) -> None:
        """Remove all other channels, in place; values of those that stay are the same.

        Args:
            module: of this kind.
            axes: positions that stay, ascending, by axis; an axis that is not named stays.
        """
        for axis, positions in axes.items():
            index = torch.tensor(positions, dtype=torch.long)
            for name, dims in self.tensors.items():
                if axis in dims:
                    slice_tensor(module, name, dims[axis], index)
            setattr(module, self.sizes[axis], len(positions))

    def zero(self, module: nn.Module, axis: Axis, gone: Sequence[int]) -> None:
        """Let the module write zeros for some channels, or read them as zeros; in place.

        Args:
            module: of this kind.
            axis: which of its axes.
            gone: positions on it.
        """
        for name, dims in self.tensors.items():
            tensor = getattr(module, name)
            if axis in dims and name not in self.kept and tensor is not None:
                tensor.movedim(dims[axis], 0)[list(gone)] = 0

    def filters(self, module: nn.Module) -> Tensor:
        """The weights that write each output channel, (out_channels, numbers of one)."""
        name = next(name for name, dims in self.tensors.items() if 'out_channels' in dims)
        weight = getattr(module, name).detach()
        return weight.movedim(self.tensors[name]['out_channels'], 0).flatten(1)

    # ------------------------------------------------------------------ costs, with kernels

    def macs(self, module: nn.Module, source: Tensor, output: Tensor) -> dict[str, int]:
        """Multiply-accumulates of one call, by name of the tensor that takes part in them.

        They grow with the axes that the tensor has in `tensors`; under another name they follow
        no channels. Biases count nothing.

        Args:
            module: of this kind.
            source: its first argument.
            output: what it has returned.
        """
        raise NotImplementedError(f'{type(self).__name__} has no kernels')

    def macs_of_channel(
        self, module: nn.Module, source: Tensor, output: Tensor, axis: Axis
    ) -> float:
        """Multiply-accumulates of one call that one channel of an axis takes part in."""
        parts = self.macs(module, source, output).items()
        mine = sum(macs for name, macs in parts if axis in self.tensors.get(name, ()))
        return mine / self.size(module, axis)

    def name(self, module: nn.Module) -> str:
        """The module's class, in a table of latencies."""
        return type(module).__name__

    def options(self, module: nn.Module) -> tuple[tuple[str, Any], ...]:
        """What decides, besides the channels and the input, how long a call takes.

        Unless told, the shapes of all tensors and what the module says of itself
        (``extra_repr``): put a stride there.
        """
        shapes = [(name, tuple(t.shape)) for name, t in module.state_dict().items()]
        text = module.extra_repr()
        return (*shapes, *([('with', text)] if text else []))

    def call_shape(self, module: nn.Module, source: Tensor) -> tuple[int, ...]:
        """The shape of the input of a call without its channels."""
        dim = self.channel_dim(module, source.dim())
        return tuple(size for d, size in enumerate(source.shape) if d != dim)

    def narrower(self, module: nn.Module) -> Callable[[int, int], tuple[nn.Module, int]]:
        """A function that makes a module like this one with other numbers of channels.

        Returns:
            (input channels, output channels) -> the module, and how many channels it reads.
        """

        def build(ins: int, outs: int) -> tuple[nn.Module, int]:
            narrow = copy.deepcopy(module)
            first = {'in_channels': list(range(ins)), 'out_channels': list(range(outs))}
            with torch.no_grad():
                self.keep(narrow, first)
            return narrow, ins

        return build


def kind_of(module: nn.Module) -> LayerKind | None:
    """The kind of a module, or ``None`` for one whose operations are followed."""
    kinds = [_made(kind) for kind in reversed(LAYER_KINDS.module_dict.values())]
    own = type(module)
    for kind in kinds:
        if own.__name__ in kind.modules and kind.takes(module):
            return kind
    for base in own.__mro__:
        for kind in kinds:
            if base in kind.modules and kind.takes(module):
                return kind
    return None


@cache
def _made(kind: type[LayerKind]) -> LayerKind:
    """A kind, once.

    Raises:
        CompressionError: it is for no module at all.
    """
    if not kind.modules:
        raise CompressionError(
            f'{kind.__name__} is registered as a kind of layer and names no module: give it '
            '`modules = (MyLayer,)`'
        )
    return kind()


def is_layer(module: nn.Module) -> bool:
    """Whether a module has kernels: it is a convolution, a linear layer or the like."""
    kind = kind_of(module)
    return kind is not None and kind.has_kernels


def layers_of(detector: nn.Module) -> Iterator[tuple[str, nn.Module, LayerKind]]:
    """All layers with kernels, in the order of ``named_modules``: path, module and kind.

    What lies inside a layer that its kind speaks for is left out.
    """
    inside: str | None = None
    for path, module in detector.named_modules():
        if inside is not None and path.startswith(inside):
            continue
        kind = kind_of(module)
        if kind is not None and kind.has_kernels:
            inside = f'{path}.' if path and kind.known and kind.whole else None
            yield path, module, kind


def known_modules() -> list[str]:
    """Names of the classes that surgery knows."""
    names = [
        module if isinstance(module, str) else module.__name__.strip('_')
        for kind in LAYER_KINDS.module_dict.values()
        if kind.sizes
        for module in kind.modules
    ]
    return list(dict.fromkeys(names))


def slice_tensor(module: nn.Module, name: str, dim: int, positions: Tensor) -> None:
    """Replace a parameter or buffer by its slice; a new object, so that shapes never alias.

    Args:
        module: has it; ``None`` stays.
        name: of the tensor.
        dim: along which.
        positions: that stay, int64.
    """
    tensor = getattr(module, name)
    if tensor is None:
        return
    sliced = tensor.detach().index_select(dim, positions.to(tensor.device)).clone()
    if isinstance(tensor, nn.Parameter):
        sliced = nn.Parameter(sliced, requires_grad=tensor.requires_grad)
    setattr(module, name, sliced)
