"""Surgery: apply a plan to a detector in place; or mask it, which must compute the same.

What differs between kinds of modules is written down once, in `_SLICERS`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import torch
from mmdet.models.necks.ssd_neck import L2Norm
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.groups import Axis, ChannelGroup
from mmdet_lcp.graph.plan import Plan, Totals

# Channels that stay, by axis, as a module counts them now.
Positions = dict[Axis, list[int]]


def axis_size(module: nn.Module, axis: Axis, path: str = '') -> int:
    """Number of channels of a module's input or output axis.

    Raises:
        CompressionError: surgery does not know this kind of module.
    """
    if isinstance(module, _ConvNd):
        return module.in_channels if axis == 'in_channels' else module.out_channels
    if isinstance(module, nn.Linear):
        return module.in_features if axis == 'in_channels' else module.out_features
    for kind, attribute in _COUNTED.items():
        if isinstance(module, kind):
            return getattr(module, attribute)
    raise CompressionError(
        f'{path or "a module"} is a {type(module).__name__}: surgery knows convolutions, linear '
        f'layers, {", ".join(kind.__name__.strip("_") for kind in _COUNTED)}. Leave its group out '
        'of `pruning.layers`.'
    )


def weight_dim(module: nn.Module, axis: Axis) -> int:
    """Which dimension of a layer's weight counts its inputs, or its outputs."""
    transposed = isinstance(module, _ConvTransposeNd)
    return int(axis == 'in_channels') ^ transposed


def axis_sizes(detector: nn.Module, groups: Iterable[ChannelGroup]) -> Totals:
    """Size of every axis that the groups touch, by (path, axis)."""
    return {
        (member.path, member.axis): axis_size(
            detector.get_submodule(member.path), member.axis, member.path
        )
        for group in groups
        for member in group.members
    }


def apply_plan(detector: nn.Module, plan: Plan, done: Plan | None = None) -> nn.Module:
    """Remove from a detector, in place, every channel that the plan does not keep.

    Parameters are replaced, so an optimizer has to be built anew. Values of the channels
    that stay are the same, bit for bit.

    Args:
        detector: a plain mmdet detector.
        plan: what stays, counted on the detector before any pruning.
        done: the part of the plan that has been applied to this detector already.

    Returns:
        The same detector.

    Raises:
        CompressionError: the plan names a module that is not there, or another size.
    """
    done = done or Plan()
    work: dict[str, Positions] = {}
    for path, axes in plan.modules.items():
        try:
            module = detector.get_submodule(path)
        except AttributeError as error:
            raise CompressionError(
                f'the plan does not fit the {type(detector).__name__}: it has no module {path}'
            ) from error
        for axis, kept in axes.items():
            now = done.kept(path, axis, kept.total)
            size = axis_size(module, axis, path)
            if size != len(now.keep):
                raise CompressionError(
                    f'the plan does not fit: it expects {len(now.keep)} {axis} at {path}, '
                    f'the detector has {size}. Use the plan with the config of the '
                    'detector that it was made on.'
                )
            if kept != now:
                work.setdefault(path, {})[axis] = now.positions(kept)
    for path, axes in work.items():
        _check_blocks(detector.get_submodule(path), axes, path)
    for path, axes in work.items():
        _keep(detector.get_submodule(path), axes)
    return detector


@torch.no_grad()
def mask_plan(detector: nn.Module, plan: Plan, done: Plan | None = None) -> nn.Module:
    """Set to zero, in place, what `apply_plan` would remove; shapes stay.

    Written are zeros, and they are read with zeros: so the output equals the pruned detector's
    whatever an activation between makes of zero. What normalises by all channels, as L2Norm does,
    needs activations that leave zero alone.

    Args:
        detector: a plain mmdet detector.
        plan: what stays, counted on the detector before any pruning.
        done: the part of the plan that has been applied to this detector already.
    """
    done = done or Plan()
    for path, axes in plan.modules.items():
        module = detector.get_submodule(path)
        for axis, kept in axes.items():
            stay = set(kept.keep)
            now = done.kept(path, axis, kept.total).keep
            gone = [position for position, channel in enumerate(now) if channel not in stay]
            if isinstance(module, (_ConvNd, nn.Linear)):
                if axis == 'in_channels' and getattr(module, 'groups', 1) > 1:
                    _zero_grouped_inputs(module, gone)
                else:
                    module.weight.movedim(weight_dim(module, axis), 0)[gone] = 0
                names = ('bias',) if axis == 'out_channels' else ()
            else:
                names = ('weight', 'bias', 'running_mean')
            for name in names:  # a norm may lack any of them
                tensor = getattr(module, name, None)
                if tensor is not None:
                    tensor[gone] = 0
    return detector


def needs_fresh_inputs(detector: nn.Module, group: ChannelGroup) -> bool:
    """Whether removing channels changes what the others carry to the consumers.

    L2Norm divides by the norm over all channels; every other module between is per channel. Where
    several layers write the channels, some of them lie behind others that read them.
    """
    norms = any(isinstance(detector.get_submodule(m.path), L2Norm) for m in group.norms)
    return norms or len(group.producers) > 1


@torch.no_grad()
def _keep(module: nn.Module, axes: Positions) -> None:
    if isinstance(module, _ConvNd) and module.groups > 1:
        _keep_groups(module, axes)
        return
    for axis, positions in axes.items():
        for kind, keep in _SLICERS.items():
            if isinstance(module, kind):
                keep(module, axis, torch.tensor(positions, dtype=torch.long))
                break


def _slice(module: nn.Module, name: str, dim: int, positions: Tensor) -> None:
    """Replace a parameter or buffer by its slice; a new object, so that shapes never alias."""
    tensor = getattr(module, name, None)
    if tensor is None:
        return
    sliced = tensor.detach().index_select(dim, positions.to(tensor.device)).clone()
    if isinstance(tensor, nn.Parameter):
        sliced = nn.Parameter(sliced, requires_grad=tensor.requires_grad)
    setattr(module, name, sliced)


def _check_blocks(module: nn.Module, axes: Positions, path: str) -> None:
    """Group norms lose whole groups; grouped convolutions too, or equally many of each, or both.

    Raises:
        CompressionError: the plan does otherwise.
    """
    alive = []
    for axis, positions in axes.items():
        size = _block(module, axis)
        counts = Counter(position // size for position in positions)
        whole = isinstance(module, nn.GroupNorm)
        if any(count != size for count in counts.values()) and (whole or _differ(counts)):
            raise CompressionError(
                f'the plan does not fit: {path} works on groups of {size} channels, of which it '
                'would keep parts'
            )
        alive.append(set(counts))
    if isinstance(module, _ConvNd) and module.groups > 1:
        if 'out_channels' not in axes:
            alive.append(set(range(module.groups)))
        if alive[0] != alive[-1]:
            raise CompressionError(
                f'the plan does not fit: {path} would lose other groups of its in_channels than '
                'of its out_channels'
            )


def _differ(counts: Counter) -> bool:
    return len(set(counts.values())) > 1


def _block(module: nn.Module, axis: Axis) -> int:
    """How many neighbouring channels of an axis a group has; 1 without groups."""
    if isinstance(module, nn.GroupNorm):
        return module.num_channels // module.num_groups
    if isinstance(module, _ConvNd) and module.groups > 1:
        return axis_size(module, axis) // module.groups
    return 1


def _zero_grouped_inputs(module: _ConvNd, gone: Sequence[int]) -> None:
    """Let each group of a convolution read with zeros what is gone of its own inputs."""
    size, blocks = _block(module, 'in_channels'), module.weight.unflatten(0, (module.groups, -1))
    for position in gone:
        blocks[position // size, :, position % size] = 0


def _keep_conv(module: _ConvNd, axis: Axis, positions: Tensor) -> None:
    _slice(module, 'weight', weight_dim(module, axis), positions)
    if axis == 'in_channels':
        module.in_channels = len(positions)
        return
    _slice(module, 'bias', 0, positions)
    module.out_channels = len(positions)


def _keep_groups(module: _ConvNd, axes: Positions) -> None:
    """What stays of a grouped convolution: groups, and of each of them as many channels.

    Without `in_channels` all inputs of the groups stay whose outputs do.
    """
    sizes = {axis: _block(module, axis) for axis in ('in_channels', 'out_channels')}
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
    _slice(module, 'bias', 0, outs)
    module.in_channels, module.out_channels, module.groups = len(ins), len(outs), len(alive)


def _keep_linear(module: nn.Linear, axis: Axis, positions: Tensor) -> None:
    if axis == 'in_channels':
        _slice(module, 'weight', 1, positions)
        module.in_features = len(positions)
        return
    _slice(module, 'weight', 0, positions)
    _slice(module, 'bias', 0, positions)
    module.out_features = len(positions)


def _keep_norm(module: nn.Module, axis: Axis, positions: Tensor) -> None:
    """One number a channel: batch norm, instance norm, L2Norm, PReLU; none: a RoI extractor."""
    for name in ('weight', 'bias', 'running_mean', 'running_var'):
        _slice(module, name, 0, positions)
    attribute = next(name for kind, name in _COUNTED.items() if isinstance(module, kind))
    setattr(module, attribute, len(positions))


def _keep_group_norm(module: nn.GroupNorm, axis: Axis, positions: Tensor) -> None:
    module.num_groups = len(positions) // _block(module, axis)
    _keep_norm(module, axis, positions)


# Where a module that has no axes of weights says how many channels it is for.
_COUNTED: dict[type[nn.Module], str] = {
    _BatchNorm: 'num_features',
    _InstanceNorm: 'num_features',
    nn.GroupNorm: 'num_channels',
    L2Norm: 'n_dims',
    nn.PReLU: 'num_parameters',
    BaseRoIExtractor: 'out_channels',
}
_SLICERS: dict[type[nn.Module], Callable[[nn.Module, Axis, Tensor], None]] = {
    _ConvNd: _keep_conv,
    nn.Linear: _keep_linear,
    nn.GroupNorm: _keep_group_norm,
    **dict.fromkeys((_BatchNorm, _InstanceNorm, L2Norm, nn.PReLU, BaseRoIExtractor), _keep_norm),
}
