"""Which channels a layer writes, scales and reads, by kind of layer.

A layer's axes keep their channels over all of its runs: a head that is shared by several levels
ties what it reads on them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from mmcv.cnn.bricks import wrappers
from mmcv.cnn.bricks.conv2d_adaptive_padding import Conv2dAdaptivePadding
from mmdet.models.necks.ssd_neck import L2Norm
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from mmdet_lcp.graph.balance import tie_whole
from mmdet_lcp.graph.labels import channels_along, on_dimension
from mmdet_lcp.graph.trace_state import TraceState

# Modules whose forward is one of these compute what their kind computes; others, such as
# convolutions that standardise their weights first, do not.
_PLAIN = {
    *(kind.forward for kind in (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)),
    *(kind.forward for kind in (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)),
    *(kind.forward for kind in (wrappers.Conv2d, wrappers.Conv3d, wrappers.Linear)),
    *(kind.forward for kind in (wrappers.ConvTranspose2d, wrappers.ConvTranspose3d)),
    Conv2dAdaptivePadding.forward,
}
# Of these packages' pooling of regions: (N, C, H, W) and regions in, (R, C, h, w) out.
_POOLING = ('RoIAlign', 'RoIPool', 'PrRoIPool', 'SimpleRoIAlign')


@dataclass(frozen=True)
class Rule:
    """What is noted when a module has run.

    Attributes:
        apply: called with the trace, the module's path, the module, its input and its output.
        whole: whether the rule stands for all that happens inside the module.
    """

    apply: Callable[[TraceState, str, nn.Module, Tensor, Tensor], None]
    whole: bool = True


def rule_of(module: nn.Module) -> Rule | None:
    """The rule of a module, or ``None`` for one whose operations are followed."""
    if isinstance(module, (_ConvNd, nn.Linear)) and type(module).forward not in _PLAIN:
        return _UNKNOWN
    return _rule_of_kind(type(module))


@cache
def _rule_of_kind(kind: type[nn.Module]) -> Rule | None:
    if kind.__name__ in _POOLING:
        return Rule(_pool)
    return next((rule for base, rule in _RULES.items() if issubclass(kind, base)), None)


def _read(trace: TraceState, path: str, columns: Tensor) -> Tensor:
    """Note what a layer reads; returns the channels of its input axis."""
    known = trace.reads.get(path)
    if known is not None:
        trace.ties.tie(known, columns)
        half = (known > 0) != (columns > 0)
        trace.ties.fix(
            torch.maximum(known, columns)[half],
            f'{path} runs several times, and reads other things than these in their place',
        )
        columns = torch.maximum(known, columns)
    trace.reads[path] = columns
    return columns


def _scale(trace: TraceState, path: str, channels: Tensor) -> None:
    """Note channels that a module takes one by one."""
    known = trace.scales.get(path)
    if known is not None:
        trace.ties.tie(known, channels)
        channels = torch.maximum(known, channels)
    trace.scales[path] = channels


def _write(trace: TraceState, path: str, count: int) -> Tensor:
    """The channels of a layer's output axis, the same ones in each of its runs."""
    if path not in trace.writes:
        trace.writes[path] = trace.ties.fresh(count)
    return trace.writes[path]


def _conv(trace: TraceState, path: str, module: _ConvNd, source: Tensor, output: Tensor) -> None:
    dim = source.dim() - len(module.kernel_size) - 1
    columns = channels_along(trace.labels.get(source), dim, source.shape, trace.ties)
    if module.groups > 1:
        rows = _grouped(trace, path, module, columns)
    else:
        _read(trace, path, columns)
        rows = _write(trace, path, module.out_channels)
    if rows is not None:
        trace.label(output, on_dimension(rows, dim, output.dim()))


def _grouped(trace: TraceState, path: str, module: _ConvNd, columns: Tensor) -> Tensor | None:
    """A depth-wise convolution loses its groups of one channel; how others do comes later.

    See `balance.settle`.
    """
    if isinstance(module, _ConvTransposeNd):
        trace.ties.fix(columns, f'{path} is a transposed convolution with groups')
        return None
    if module.groups < module.in_channels:
        _read(trace, path, columns)
        trace.grouped[path] = module.groups
        return _write(trace, path, module.out_channels)
    if path not in trace.scales:
        trace.scales[path] = trace.ties.fresh(module.out_channels)
    tie_whole(trace.ties, path, columns, trace.scales[path], module.groups)
    return trace.scales[path]


def _linear(
    trace: TraceState, path: str, module: nn.Linear, source: Tensor, output: Tensor
) -> None:
    _read(trace, path, channels_along(trace.labels.get(source), -1, source.shape, trace.ties))
    rows = _write(trace, path, module.out_features)
    trace.label(output, on_dimension(rows, -1, output.dim()))


def _norm(trace: TraceState, path: str, module: nn.Module, source: Tensor, output: Tensor) -> None:
    """One scale a channel: batch norm, instance norm, L2Norm, PReLU."""
    if source in trace.labels:
        labels = trace.labels[source]
        _scale(trace, path, channels_along(labels, 1, source.shape, trace.ties))
        trace.label(output, labels)


def _group_norm(
    trace: TraceState, path: str, module: nn.GroupNorm, source: Tensor, output: Tensor
) -> None:
    """A group norm loses whole groups: the statistics of the others stay what they were."""
    if source in trace.labels:
        channels = channels_along(trace.labels[source], 1, source.shape, trace.ties)
        blocks = channels.view(module.num_groups, -1)
        trace.ties.tie(blocks.amax(1, keepdim=True).expand_as(blocks).flatten(), blocks.flatten())
        partly = (blocks > 0).any(1) & (blocks == 0).any(1)
        trace.ties.fix(blocks[partly].flatten(), f'{path} normalises them with what stays')
        _scale(trace, path, channels)
        trace.label(output, trace.labels[source])


def _layer_norm(
    trace: TraceState, path: str, module: nn.LayerNorm, source: Tensor, output: Tensor
) -> None:
    if source in trace.labels:
        labels = trace.labels[source]
        if any(labels.shape[-1 - d] > 1 for d in range(len(module.normalized_shape))):
            trace.ties.fix(labels.flatten(), f'the layer norm {path} takes its mean over them')
        trace.label(output, labels)


def _prelu(trace: TraceState, path: str, module: nn.PReLU, source: Tensor, output: Tensor) -> None:
    if module.num_parameters > 1:
        _norm(trace, path, module, source, output)
    elif source in trace.labels:
        trace.label(output, trace.labels[source])


def _pool(trace: TraceState, path: str, module: nn.Module, source: Tensor, output: Tensor) -> None:
    """Regions are cut out of a map, channel by channel."""
    if source in trace.labels:
        channels = channels_along(trace.labels[source], 1, source.shape, trace.ties)
        trace.label(output, on_dimension(channels, 1, output.dim()))


def _extractor(
    trace: TraceState, path: str, module: BaseRoIExtractor, source: tuple, output: Tensor
) -> None:
    """Extractors make their output with a number of channels that they were told."""
    if output in trace.labels:
        _scale(trace, path, channels_along(trace.labels[output], 1, output.shape, trace.ties))


def _unknown(
    trace: TraceState, path: str, module: nn.Module, source: Tensor, output: Tensor
) -> None:
    kind = type(module).__name__
    trace.stay(source, f'{path} is a {kind}, which computes its kernel from all of its weights')


_UNKNOWN = Rule(_unknown)
_RULES: dict[type[nn.Module], Rule] = {
    _ConvNd: Rule(_conv),
    nn.Linear: Rule(_linear),
    L2Norm: Rule(_norm),
    _BatchNorm: Rule(_norm),
    _InstanceNorm: Rule(_norm),
    nn.GroupNorm: Rule(_group_norm),
    nn.LayerNorm: Rule(_layer_norm),
    nn.PReLU: Rule(_prelu),
    BaseRoIExtractor: Rule(_extractor, whole=False),
}
