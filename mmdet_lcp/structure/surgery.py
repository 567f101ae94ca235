"""Surgery: apply a plan to a detector in place; or mask it, which must compute the same.

What differs between kinds of modules is written down once, in `_SLICERS`.
"""

from collections.abc import Callable, Iterable

import torch
from mmdet.models.necks.ssd_neck import L2Norm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.structure.groups import Axis, ChannelGroup
from mmdet_lcp.structure.plan import Plan, Totals


def axis_size(module: nn.Module, axis: Axis, path: str = '') -> int:
    """Number of channels of a module's input or output axis.

    Raises:
        CompressionError: surgery does not know this kind of module.
    """
    if isinstance(module, _ConvNd):
        return module.in_channels if axis == 'in_channels' else module.out_channels
    if isinstance(module, nn.Linear):
        return module.in_features if axis == 'in_channels' else module.out_features
    if isinstance(module, _BatchNorm):
        return module.num_features
    if isinstance(module, L2Norm):
        return module.n_dims
    raise CompressionError(
        f'{path or "a module"} is a {type(module).__name__}: surgery knows convolutions, linear '
        'layers, batch norm and L2Norm. Leave its group out of `pruning.layers`.'
    )


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
    work = []
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
                work.append((module, axis, now.positions(kept)))
    for module, axis, positions in work:
        _keep(module, axis, positions)
    return detector


@torch.no_grad()
def mask_plan(detector: nn.Module, plan: Plan, done: Plan | None = None) -> nn.Module:
    """Set to zero, in place, what `apply_plan` would remove; shapes stay.

    The output equals the pruned detector's wherever a zero channel stays zero on its way to
    the consumer (ReLU, pooling, L2Norm and the like).

    Args:
        detector: a plain mmdet detector.
        plan: what stays, counted on the detector before any pruning.
        done: the part of the plan that has been applied to this detector already.
    """
    done = done or Plan()
    for path, axes in plan.modules.items():
        if 'out_channels' not in axes:
            continue
        stay = set(axes['out_channels'].keep)
        now = done.kept(path, 'out_channels', axes['out_channels'].total).keep
        gone = [position for position, channel in enumerate(now) if channel not in stay]
        module = detector.get_submodule(path)
        for name in ('weight', 'bias', 'running_mean'):  # a batch norm may lack the former two
            tensor = getattr(module, name, None)
            if tensor is not None:
                tensor[gone] = 0
    return detector


def needs_fresh_inputs(detector: nn.Module, group: ChannelGroup) -> bool:
    """Whether removing channels changes what the others carry to the consumers.

    L2Norm divides by the norm over all channels; every other module between is per channel.
    """
    return any(isinstance(detector.get_submodule(m.path), L2Norm) for m in group.norms)


@torch.no_grad()
def _keep(module: nn.Module, axis: Axis, positions: list[int]) -> None:
    for kind, keep in _SLICERS.items():
        if isinstance(module, kind):
            keep(module, axis, torch.tensor(positions, dtype=torch.long))
            return


def _slice(module: nn.Module, name: str, dim: int, positions: Tensor) -> None:
    """Replace a parameter or buffer by its slice; a new object, so that shapes never alias."""
    tensor = getattr(module, name, None)
    if tensor is None:
        return
    sliced = tensor.detach().index_select(dim, positions.to(tensor.device)).clone()
    if isinstance(tensor, nn.Parameter):
        sliced = nn.Parameter(sliced, requires_grad=tensor.requires_grad)
    setattr(module, name, sliced)


def _keep_conv(module: _ConvNd, axis: Axis, positions: Tensor) -> None:
    if axis == 'in_channels':
        _slice(module, 'weight', 1, positions)
        module.in_channels = len(positions)
        return
    if module.groups > 1:  # depth-wise: inputs, outputs and groups are one axis
        module.in_channels = module.groups = len(positions)
    _slice(module, 'weight', 0, positions)
    _slice(module, 'bias', 0, positions)
    module.out_channels = len(positions)


def _keep_linear(module: nn.Linear, axis: Axis, positions: Tensor) -> None:
    if axis == 'in_channels':
        _slice(module, 'weight', 1, positions)
        module.in_features = len(positions)
        return
    _slice(module, 'weight', 0, positions)
    _slice(module, 'bias', 0, positions)
    module.out_features = len(positions)


def _keep_batch_norm(module: _BatchNorm, axis: Axis, positions: Tensor) -> None:
    for name in ('weight', 'bias', 'running_mean', 'running_var'):
        _slice(module, name, 0, positions)
    module.num_features = len(positions)


def _keep_l2_norm(module: L2Norm, axis: Axis, positions: Tensor) -> None:
    _slice(module, 'weight', 0, positions)
    module.n_dims = len(positions)


_SLICERS: dict[type[nn.Module], Callable[[nn.Module, Axis, Tensor], None]] = {
    _ConvNd: _keep_conv,
    nn.Linear: _keep_linear,
    _BatchNorm: _keep_batch_norm,
    L2Norm: _keep_l2_norm,
}
