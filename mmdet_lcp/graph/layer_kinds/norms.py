"""Norms and the like: they take each channel by itself, or groups of them, or all of them."""

from collections import Counter

from mmdet.models.necks.ssd_neck import L2Norm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from mmdet_lcp.graph.layer_kinds.base import LayerKind, Positions
from mmdet_lcp.graph.layer_kinds.convolutions import split_groups
from mmdet_lcp.graph.trace_state import TraceState
from mmdet_lcp.registry import LAYER_KINDS

_AFFINE = {'weight': {'out_channels': 0}, 'bias': {'out_channels': 0}}


@LAYER_KINDS.register_module()
class BatchNorm(LayerKind):
    """Batch and instance norms: one scale and shift, and one mean and variance a channel.

    A variance keeps its value when its channel is zeroed; it divides a mean of zero.
    """

    modules = (_BatchNorm, _InstanceNorm)
    sizes = {'out_channels': 'num_features'}
    tensors = {
        **_AFFINE,
        'running_mean': {'out_channels': 0},
        'running_var': {'out_channels': 0},
    }
    kept = ('running_var',)


@LAYER_KINDS.register_module()
class L2NormKind(LayerKind):
    """mmdet's L2Norm: each position is divided by its norm over all channels, one scale a channel.

    A channel at zero adds nothing to the norm, so that it may as well be gone.
    """

    modules = (L2Norm,)
    sizes = {'out_channels': 'n_dims'}
    tensors = {'weight': {'out_channels': 0}}
    mixes = True


@LAYER_KINDS.register_module()
class ChannelActivation(LayerKind):
    """PReLU, with one slope a channel or one for all."""

    modules = (nn.PReLU,)
    sizes = {'out_channels': 'num_parameters'}
    tensors = {'weight': {'out_channels': 0}}

    def trace(
        self, state: TraceState, path: str, module: nn.PReLU, source: Tensor, output: Tensor
    ) -> None:
        """One slope for all is no concern of the channels."""
        if module.num_parameters > 1:
            super().trace(state, path, module, source, output)
        elif source in state.labels:
            state.label(output, state.labels[source])


@LAYER_KINDS.register_module()
class GroupNorm(LayerKind):
    """A group norm loses whole groups: the statistics of the others stay what they were."""

    modules = (nn.GroupNorm,)
    sizes = {'out_channels': 'num_channels'}
    tensors = _AFFINE

    def groups(self, module: nn.GroupNorm) -> int:
        """Its own."""
        return module.num_groups

    def trace(
        self, state: TraceState, path: str, module: nn.GroupNorm, source: Tensor, output: Tensor
    ) -> None:
        """The channels of a group go together."""
        if source in state.labels:
            channels = state.channels(source, 1)
            blocks = channels.view(module.num_groups, -1)
            first = blocks.amax(1, keepdim=True)
            state.ties.tie(first.expand_as(blocks).flatten(), blocks.flatten())
            partly = (blocks > 0).any(1) & (blocks == 0).any(1)
            state.ties.fix(blocks[partly].flatten(), f'{path} normalises them with what stays')
            state.scale(path, channels)
            state.label(output, state.labels[source])

    def check(self, module: nn.GroupNorm, axes: Positions, path: str) -> None:
        """Whole groups.

        Raises:
            CompressionError: the plan keeps a part of one.
        """
        size = module.num_channels // module.num_groups
        counts = Counter(position // size for position in axes['out_channels'])
        if any(count != size for count in counts.values()):
            raise split_groups(path, size)

    def keep(self, module: nn.GroupNorm, axes: Positions) -> None:
        """The groups stay as large as they are."""
        size = module.num_channels // module.num_groups
        module.num_groups = len(axes['out_channels']) // size
        super().keep(module, axes)


@LAYER_KINDS.register_module()
class LayerNorm(LayerKind):
    """A layer norm takes its mean over what it normalises: channels among it stay."""

    modules = (nn.LayerNorm,)

    def trace(
        self, state: TraceState, path: str, module: nn.LayerNorm, source: Tensor, output: Tensor
    ) -> None:
        """Channels along another dimension are no concern of it."""
        if source in state.labels:
            labels = state.labels[source]
            if any(labels.shape[-1 - d] > 1 for d in range(len(module.normalized_shape))):
                reason = f'the layer norm {path} takes its mean over them'
                state.ties.fix(labels.flatten(), reason)
            state.label(output, labels)
