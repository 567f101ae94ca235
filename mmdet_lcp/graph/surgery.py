"""Surgery: apply a plan to a detector in place; or mask it, which must compute the same.

What differs between kinds of modules is theirs to know, see `layer_kinds`.
"""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.groups import Axis, ChannelGroup
from mmdet_lcp.graph.layer_kinds import LayerKind, Positions, kind_of, known_modules
from mmdet_lcp.graph.plan import Kept, Plan, Totals


def kind_at(module: nn.Module, axis: Axis, path: str = '') -> LayerKind:
    """The kind of a module that has channels on an axis.

    Raises:
        CompressionError: surgery does not know this kind of module, or it has no such axis.
    """
    kind = kind_of(module)
    name = f'{path or "a module"} is a {type(module).__name__}'
    if kind is None or not kind.sizes:
        raise CompressionError(
            f'{name}: surgery knows {", ".join(known_modules())}. Leave its group out of '
            '`pruning.layers`, or register its kind in mmdet_lcp.registry.LAYER_KINDS.'
        )
    if axis not in kind.sizes:
        raise CompressionError(f'{name}, which has no {axis}, only {", ".join(kind.sizes)}.')
    return kind


def axis_size(module: nn.Module, axis: Axis, path: str = '') -> int:
    """Number of channels of a module's input or output axis.

    Raises:
        CompressionError: surgery does not know this kind of module.
    """
    return kind_at(module, axis, path).size(module, axis)


def weight_dim(module: nn.Module, axis: Axis) -> int:
    """Which dimension of a layer's ``weight`` counts its inputs, or its outputs.

    Raises:
        CompressionError: its weight has no such dimension.
    """
    dims = kind_at(module, axis).tensors.get('weight', {})
    if axis not in dims:
        raise CompressionError(
            f'the `weight` of a {type(module).__name__} has no dimension for {axis}. Take a '
            'criterion that does not work on the kernels of the layers that read a group '
            '(GroupFisher, Taylor, FPGM), or leave the group out of `pruning.layers`.'
        )
    return dims[axis]


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
    work: dict[str, Positions] = {}
    for path, axis, now, kept in _steps(detector, plan, done):
        if kept != now:
            work.setdefault(path, {})[axis] = now.positions(kept)
    layers = [(path, detector.get_submodule(path), axes) for path, axes in work.items()]
    for path, module, axes in layers:
        kind_of(module).check(module, axes, path)
    with torch.no_grad():
        for _, module, axes in layers:
            kind_of(module).keep(module, axes)
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

    Raises:
        CompressionError: the plan names a module that is not there, or another size.
    """
    for path, axis, now, kept in list(_steps(detector, plan, done)):
        stay = set(kept.keep)
        gone = [position for position, channel in enumerate(now.keep) if channel not in stay]
        module = detector.get_submodule(path)
        kind_at(module, axis, path).zero(module, axis, gone)
    return detector


def _steps(
    detector: nn.Module, plan: Plan, done: Plan | None
) -> Iterator[tuple[str, Axis, Kept, Kept]]:
    """Each axis of a plan: its path, what it has now, and what stays of that; all checked."""
    for each in (plan, done or Plan()):
        if not isinstance(each, Plan):
            raise CompressionError(_no_plan(each))
    for path, axes in plan.modules.items():
        try:
            module = detector.get_submodule(path)
        except AttributeError as error:
            raise CompressionError(
                f'the plan does not fit the {type(detector).__name__}: it has no module {path}'
            ) from error
        for axis, kept in axes.items():
            now = (done or Plan()).kept(path, axis, kept.total)
            size = axis_size(module, axis, path)
            if size != len(now.keep):
                raise CompressionError(
                    f'the plan does not fit: it expects {len(now.keep)} {axis} at {path}, '
                    f'the detector has {size}. Use the plan with the config of the '
                    'detector that it was made on.'
                )
            yield path, axis, now, kept


def _no_plan(value: object) -> str:
    """What to do with something that is not a plan."""
    name = type(value).__name__
    if isinstance(getattr(value, 'plan', None), Plan):
        return f'a {name} is not a plan, it has one: pass its `plan`'
    if isinstance(value, Mapping):
        return f'a {name} is not a plan: read it with Plan.from_dict'
    return f'a {name} is not a plan: pass a Plan, such as the `plan` of a result'


def needs_fresh_inputs(detector: nn.Module, group: ChannelGroup) -> bool:
    """Whether removing channels changes what the others carry to the consumers.

    L2Norm divides by the norm over all channels; every other module between is per channel. Where
    several layers write the channels, some of them lie behind others that read them.
    """
    mixed = any(kind_of(detector.get_submodule(m.path)).mixes for m in group.norms)
    return mixed or len(group.producers) > 1
