"""What PyTorch's operations do to the labels of a map: move, mix or tie them.

Rules are by ATen operation, below `torch.nn`, so that any way of writing a forward pass ends
here. An operation without a rule fixes what it reads: its channels stay.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from mmdet_lcp.graph.labels import compact, concatenated, joined, mixed
from mmdet_lcp.graph.trace_state import TraceState

aten = torch.ops.aten

# Elements stay what they are and where they are.
SAME = {
    'detach', 'alias', '_to_copy', 'contiguous', 'hardswish', 'hardswish_', 'lift_fresh',
    'log_sigmoid_forward', 'rrelu_with_noise', '_prelu_kernel', 'native_dropout',
}  # fmt: skip
# The operation itself, run on the labels, says where they go.
MOVES = {
    'permute', 'transpose', 't', 'slice', 'select', 'unsqueeze', 'squeeze', 'expand', 'unbind',
    'unfold', 'flip', 'roll', 'repeat', 'index', 'index_select', 'gather', 'stack',
    'pixel_shuffle', 'pixel_unshuffle', 'diagonal', 'movedim',
}  # fmt: skip
# What `chunk` and `split` arrive as.
SPLITS = {'split', 'split_with_sizes'}
RESHAPES = {'view', '_unsafe_view', 'reshape', '_reshape_alias'}
# Mix the last dimensions of a map, channel by channel; how many dimensions.
WINDOWS = {
    'max_pool2d_with_indices': 2, 'max_pool3d_with_indices': 3, 'avg_pool1d': 1, 'avg_pool2d': 2,
    'avg_pool3d': 3, '_adaptive_avg_pool2d': 2, '_adaptive_avg_pool3d': 3,
    'adaptive_max_pool2d': 2, 'upsample_nearest1d': 1, 'upsample_nearest2d': 2,
    'upsample_nearest3d': 3, '_upsample_nearest_exact2d': 2, 'upsample_linear1d': 1,
    'upsample_bilinear2d': 2, '_upsample_bilinear2d_aa': 2, 'upsample_bicubic2d': 2,
    '_upsample_bicubic2d_aa': 2, 'upsample_trilinear3d': 3, 'grid_sampler_2d': 2,
    'replication_pad1d': 1, 'replication_pad2d': 2, 'replication_pad3d': 3,
    'reflection_pad1d': 1, 'reflection_pad2d': 2, 'reflection_pad3d': 3,
}  # fmt: skip
# Reductions that a channel at zero adds nothing to, so that it may as well be gone.
SUMS = {'sum', 'linalg_vector_norm', 'norm', 'count_nonzero'}
REDUCTIONS = {'mean', 'amax', 'amin', 'max', 'min', 'var', 'std', 'var_mean', 'std_mean', 'prod'}
SOFTMAX = {'_softmax', '_log_softmax', '_safe_softmax', 'cumsum'}
# They look at values without making a map of them.
LOOKS = {'_local_scalar_dense', 'is_same_size', 'equal', 'sym_size', 'is_nonzero', 'item'}
MAKERS = {
    'zeros_like', 'ones_like', 'empty_like', 'full_like', 'rand_like', 'randn_like', 'new_zeros',
    'new_ones', 'new_empty', 'new_full', 'fill_', 'zero_', 'fill', 'new_empty_strided',
    'bernoulli', 'bernoulli_', 'uniform_', 'normal_',
}  # fmt: skip


def apply_rule(
    trace: TraceState, func: Callable, args: tuple, kwargs: dict[str, Any], out: Any
) -> None:
    """Label the outputs of one operation of which at least one input has labels."""
    name = func._schema.name.removeprefix('aten::')
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    if name in LOOKS or name in MAKERS:
        return
    if name == 'copy_' or name.startswith('index_put') or name.startswith('_index_put'):
        _write(trace, name, func, args, kwargs, out)
    elif torch.Tag.pointwise in func.tags or name in SAME:
        _pointwise(trace, tensors, out)
    elif name == 'cat':
        parts = [(trace.labels.get(t), t.shape) for t in args[0] if t.numel()]
        trace.label(out, concatenated(parts, args[1] if len(args) > 1 else kwargs.get('dim', 0)))
    elif name in RESHAPES:
        before = trace.labels[args[0]]
        after = compact(before.expand(args[0].shape).reshape(out.shape))
        trace.label(out, _split(trace, before, after))
    elif name == 'channel_shuffle':
        full = trace.labels[args[0]].expand(args[0].shape)
        _tie_parts(trace, full.movedim(1, 0).flatten(1).amax(1).view(args[1], -1), 'a shuffle')
        _move(trace, func, args, kwargs, out)
    elif name in SPLITS:
        _tie_equal(trace, args[0], out, _argument(func, args, kwargs, 'dim') or 0)
        _move(trace, func, args, kwargs, out)
    elif name in MOVES:
        _move(trace, func, args, kwargs, out)
    elif name == 'constant_pad_nd':
        _pad(trace, func, args, kwargs, out)
    elif name in WINDOWS and args[0] in trace.labels:
        labels = mixed(trace.labels[args[0]], range(-WINDOWS[name], 0), trace.ties)
        for output in out if isinstance(out, (tuple, list)) else [out]:
            trace.label(output, labels)
    elif name in SUMS | REDUCTIONS | SOFTMAX:
        _reduce(trace, name, func, args, kwargs, out)
    else:
        trace.stay(tensors, f'{name} reads them, which cannot be followed')


def _pointwise(trace: TraceState, tensors: Sequence[Tensor], out: Any) -> None:
    known = [(trace.labels[t], t.shape) for t in tensors if t in trace.labels]
    labels = joined(known, trace.ties)
    for tensor in tensors:
        path = trace.parameters.get(tensor)
        if path is None:
            continue
        # A parameter or buffer of a module without a rule, one number a channel.
        for dim in range(-min(labels.dim(), tensor.dim()), 0):
            if labels.shape[dim] > 1 and tensor.shape[dim] > 1:
                trace.ties.fix(labels.flatten(), f'{path} is a parameter with a value for each')
    for output in out if isinstance(out, (tuple, list)) else [out]:
        trace.label(output, labels)


def _move(
    trace: TraceState, func: Callable, args: tuple, kwargs: dict[str, Any], out: Any
) -> None:
    def labels_of(tensor: Tensor) -> Tensor:
        if tensor in trace.labels:
            return trace.labels[tensor].expand(tensor.shape)
        return torch.zeros([1] * tensor.dim(), dtype=torch.int64).expand(tensor.shape)

    # Indices stay what they are; they come after the map.
    moved = func(tree_map_only(Tensor, labels_of, args[0]), *_on_cpu(args[1:]), **_on_cpu(kwargs))
    several = isinstance(out, (tuple, list))
    for output, labels in zip(
        out if several else [out], moved if several else [moved], strict=True
    ):
        trace.label(output, compact(labels))


def _split(trace: TraceState, before: Tensor, after: Tensor) -> Tensor:
    """Labels after a reshape; one that cuts the channels into parts says what may go.

    A shuffle reshapes C channels to (g, C / g), or (C / g, g), with the number g of its own. For
    g to be right afterwards, each of the g parts has to lose its channel at the same place.
    """
    varied = [size for size in after.shape if size > 1]
    if len(varied) <= sum(size > 1 for size in before.shape):
        return after
    if len(varied) != 2:
        trace.ties.fix(after.flatten(), 'a reshape cuts them into parts of parts')
        return after
    parts = after.reshape(varied)
    first, second = varied
    known = trace.group_counts
    if first not in known and (second in known or second < first):
        parts = parts.T
    _tie_parts(trace, parts, 'a reshape')
    return trace.ties.roots(after)


def _tie_equal(trace: TraceState, whole: Tensor, parts: Sequence[Tensor], dim: int) -> None:
    """Equal parts of a map: ``x.chunk(2, 1)`` cuts in the middle of what is left of it.

    Single channels are cut out by their size, not by a number of parts. Whether the size of larger
    parts is written down, no operation tells; then no channel may go, which is found out by
    trying. So it is where the parts are not equal.
    """
    labels = trace.labels[whole]
    size = parts[0].shape[dim]
    if labels.shape[dim] > 1 and size > 1 and all(part.shape[dim] == size for part in parts):
        _tie_parts(trace, labels.movedim(dim, 0).reshape(len(parts), -1), 'a split')


def _tie_parts(trace: TraceState, parts: Tensor, operation: str) -> None:
    """Of parts of equal size, (parts, channels of each), all lose the same places."""
    strongest = parts.amax(0, keepdim=True).expand_as(parts)
    trace.ties.tie(strongest.flatten(), parts.flatten())
    partly = (parts > 0).any(0) & (parts == 0).any(0)
    reason = f'{operation} puts them beside what no layer writes'
    trace.ties.fix(parts[:, partly].flatten(), reason)


def _write(
    trace: TraceState, name: str, func: Callable, args: tuple, kwargs: dict, out: Any
) -> None:
    """``into[...] = values``: only a whole tensor's labels can be followed."""
    into, values = args[0], args[1] if name == 'copy_' else args[2]
    if into._is_view():
        trace.stay([into, values], 'they are written into a part of another map')
        return
    if name == 'copy_':
        if values in trace.labels:
            trace.label(into, trace.labels[values].expand(into.shape))
        return
    before, new = (
        trace.labels[t].expand(t.shape) if t in trace.labels else torch.zeros(t.shape).long()
        for t in (into, values)
    )
    after = before.clone().index_put_(_on_cpu(args[1]), new.contiguous())
    trace.label(out, compact(after))


def _pad(trace: TraceState, func: Callable, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
    labels, pad = trace.labels[args[0]], args[1]
    padded = [-1 - i // 2 for i, amount in enumerate(pad) if amount]
    if any(labels.shape[dim] > 1 for dim in padded):
        labels = compact(func(labels.expand(args[0].shape).contiguous(), pad, 0))
    trace.label(out, labels)


def _reduce(
    trace: TraceState, name: str, func: Callable, args: tuple, kwargs: dict, out: Any
) -> None:
    x = args[0]
    labels = trace.labels[x]
    given = _argument(func, args, kwargs, 'dim')
    if given is None or given == []:
        dims = list(range(x.dim()))
    else:
        dims = [d % x.dim() for d in (given if isinstance(given, (list, tuple)) else [given])]
    across = [dim for dim in dims if labels.shape[dim] > 1]
    if name == 'sum' and any(n > 1 for d, n in enumerate(labels.shape) if d not in dims):
        # Maps that were stacked, or parts of one: it is their addition, channel by channel.
        labels, across = mixed(labels, dims, trace.ties), []
    if across and name not in SUMS:
        trace.ties.fix(labels.flatten(), f'{name} runs over them')
    if name in SOFTMAX:
        trace.label(out, labels)
        return
    if across:
        return  # the result belongs to no single channel
    keep = bool(_argument(func, args, kwargs, 'keepdim'))
    for output in out if isinstance(out, (tuple, list)) else [out]:
        reduced = labels if keep else labels.squeeze([d for d in dims if labels.shape[d] == 1])
        if reduced.dim() == output.dim():
            trace.label(output, reduced)


def _argument(func: Callable, args: tuple, kwargs: dict[str, Any], name: str) -> Any:
    """An operation's argument by name, whichever way it was given."""
    for position, argument in enumerate(func._schema.arguments):
        if argument.name == name:
            return args[position] if position < len(args) else kwargs.get(name)
    return None


def _on_cpu(values: Any) -> Any:
    """The same arguments with their tensors where labels are."""
    return tree_map_only(Tensor, lambda t: t.cpu(), values)
