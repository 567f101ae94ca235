"""Channel groups: which channels of a detector can only be removed together.

Torch-Pruning's dependency graph is traced once and turned into plain data:
paths and index maps that survive surgery, saving and reloading.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch_pruning as tp
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError

Axis = Literal['in_channels', 'out_channels']


@dataclass(frozen=True)
class Member:
    """One axis of one module that loses channels along with its group.

    Attributes:
        path: module path inside the detector, e.g. ``backbone.features.2``.
        axis: ``'in_channels'`` for consumers, ``'out_channels'`` for producers and for
            per-channel modules (norms).
        index: channels of this module's axis, ...
        root: ... and the group's channel that each of them belongs to (same length).
    """

    path: str
    axis: Axis
    index: tuple[int, ...]
    root: tuple[int, ...]

    def map(self, channels: Sequence[int]) -> list[int]:
        """Indices on this module's axis that belong to the group's ``channels``."""
        wanted = set(channels)
        return sorted(i for i, r in zip(self.index, self.root, strict=True) if r in wanted)


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that can only go together.

    Attributes:
        name: path of the producer that runs first.
        channels: number of channels, counted on that producer's output.
        producers: convolutions and linear layers that write the channels.
        norms: per-channel modules in between (batch norm, L2Norm, depth-wise convolutions).
        consumers: convolutions and linear layers that read them, in order of execution.
        obstacle: why the group cannot be pruned, or ``None``.
    """

    name: str
    channels: int
    producers: tuple[Member, ...]
    norms: tuple[Member, ...]
    consumers: tuple[Member, ...]
    obstacle: str | None = None

    @property
    def members(self) -> tuple[Member, ...]:
        """Every axis that the group touches."""
        return self.producers + self.norms + self.consumers


def find_groups(detector: nn.Module, image_size: tuple[int, int]) -> list[ChannelGroup]:
    """Trace a detector and return all its channel groups, in order of execution.

    Args:
        detector: a plain mmdet detector; its weights and mode are left as they are.
        image_size: (height, width) of the traced image, in pixels.

    Raises:
        CompressionError: the detector's forward pass cannot be traced.
    """
    example = next(detector.parameters()).new_zeros(1, 3, *image_size)
    training = {module: module.training for module in detector.modules()}
    frozen = [p for p in detector.parameters() if not p.requires_grad]
    detector.eval()
    for parameter in frozen:  # the graph is read off autograd, frozen layers included
        parameter.requires_grad_(True)
    try:
        order = _execution_order(detector, example)
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter('ignore')
            graph = tp.DependencyGraph().build_dependency(
                detector,
                example_inputs=example,
                forward_fn=lambda model, x: model.forward(x, mode='tensor'),
                output_transform=_flatten,
                verbose=False,
            )
            found = [_describe(graph, group, order) for group in graph.get_all_groups()]
        if not found:
            raise ValueError('its outputs are cut off from its layers')
    except Exception as error:  # a forward pass of someone else's may fail in any way
        raise CompressionError(
            f'{type(detector).__name__} could not be traced at image size {image_size}: {error}. '
            "Its forward(mode='tensor') must run on one image."
        ) from error
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
        for module, mode in training.items():
            module.training = mode
    return sorted(found, key=lambda group: order.get(group.name, len(order)))


def _execution_order(detector: nn.Module, example: Tensor) -> dict[str, int]:
    """Position of each leaf module in the forward pass, by path."""
    order: dict[str, int] = {}

    def note(path: str) -> None:  # returns nothing: a hook's result would replace the output
        order.setdefault(path, len(order))

    hooks = [
        module.register_forward_hook(lambda *_, path=path: note(path))
        for path, module in detector.named_modules()
        if not list(module.children())
    ]
    try:
        with torch.no_grad():
            detector.forward(example, mode='tensor')
    finally:
        for hook in hooks:
            hook.remove()
    return order


def _flatten(output) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output
    return [tensor for value in values for tensor in _flatten(value)]


def _describe(graph: tp.DependencyGraph, group, order: dict[str, int]) -> ChannelGroup:
    paths = {module: path for path, module in graph.model.named_modules()}
    producers, norms, consumers, obstacles = {}, {}, {}, []
    channels = len(group[0].idxs)
    for item in group:
        module = item.dep.target.module
        is_input = graph.is_in_channel_pruning_fn(item.dep.handler) and not (
            graph.is_out_channel_pruning_fn(item.dep.handler)
        )
        if isinstance(module, nn.Parameter):
            path, role, axis = _parameter_owner(graph.model, module), norms, 'out_channels'
        elif module not in paths:
            continue  # an operation without weights: add, concat, reshape
        elif isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
            path, axis = paths[module], 'in_channels' if is_input else 'out_channels'
            groups = getattr(module, 'groups', 1)
            depthwise = groups > 1 and groups == module.in_channels == module.out_channels
            if depthwise:
                role, axis = norms, 'out_channels'
            else:
                role = consumers if is_input else producers
            if groups > 1 and not depthwise:
                obstacles.append(f'{path} is a grouped convolution (groups={groups})')
            if isinstance(module, nn.modules.conv._ConvTransposeNd):
                obstacles.append(f'{path} is a transposed convolution')
        elif list(module.parameters(recurse=False)) or list(module.buffers(recurse=False)):
            path, role, axis = paths[module], norms, 'out_channels'
        else:
            continue
        index, root = list(item.idxs), list(item.root_idxs)
        if (path, axis) in role:  # the same axis reached over two ways
            known = role[path, axis]
            seen = set(zip(known.index, known.root, strict=True))
            extra = [pair for pair in zip(index, root, strict=True) if pair not in seen]
            index = [*known.index, *(i for i, _ in extra)]
            root = [*known.root, *(r for _, r in extra)]
        role[path, axis] = Member(path, axis, tuple(index), tuple(root))

    def in_order(members: dict) -> tuple[Member, ...]:
        return tuple(sorted(members.values(), key=lambda m: order.get(m.path, len(order))))

    ordered = in_order(producers)
    if not consumers:
        obstacles.append("its channels are the detector's outputs")
    elif len(ordered) > 1:
        names = ', '.join(member.path for member in ordered)
        obstacles.append(f'{len(ordered)} layers write these channels together: {names}')
    return ChannelGroup(
        name=ordered[0].path,
        channels=channels,
        producers=ordered,
        norms=in_order(norms),
        consumers=in_order(consumers),
        obstacle='; '.join(obstacles) or None,
    )


def _parameter_owner(detector: nn.Module, parameter: nn.Parameter) -> str:
    """Path of the module that holds a bare parameter, such as L2Norm's weight."""
    for path, module in detector.named_modules():
        if any(own is parameter for own in module.parameters(recurse=False)):
            return path
    raise KeyError('a traced parameter belongs to no module')
