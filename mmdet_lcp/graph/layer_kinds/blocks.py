"""Blocks of backbones that split a map by a number of channels that they were told."""

from mmdet.models.backbones.res2net import Bottle2neck
from torch import Tensor

from mmdet_lcp.graph.layer_kinds.base import LayerKind
from mmdet_lcp.graph.trace_state import TraceState
from mmdet_lcp.registry import LAYER_KINDS


@LAYER_KINDS.register_module()
class Res2NetBlock(LayerKind):
    """Of Res2Net (Gao et al., TPAMI 2021): ``split(out, self.width, 1)``, a branch for each part.

    The first layer writes all parts. Where one of them loses a channel, all do, at the same place:
    the split ties them.
    """

    modules = (Bottle2neck,)
    sizes = {'out_channels': 'width'}
    whole = False

    def trace(
        self, state: TraceState, path: str, module: Bottle2neck, source: Tensor, output: Tensor
    ) -> None:
        """The width are the channels of a part."""
        written = state.writes.get(f'{path}.conv1')
        if written is not None:
            state.scale(path, written.view(module.scales, -1)[0])
