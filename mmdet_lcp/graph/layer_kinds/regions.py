"""What cuts regions out of feature maps, channel by channel."""

from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from torch import Tensor, nn

from mmdet_lcp.graph.layer_kinds.base import LayerKind
from mmdet_lcp.graph.trace_state import TraceState
from mmdet_lcp.registry import LAYER_KINDS


@LAYER_KINDS.register_module()
class RoIPooling(LayerKind):
    """Of several packages: (N, C, H, W) and regions in, (R, C, h, w) out."""

    modules = ('RoIAlign', 'RoIPool', 'PrRoIPool', 'SimpleRoIAlign')

    def trace(
        self, state: TraceState, path: str, module: nn.Module, source: Tensor, output: Tensor
    ) -> None:
        """The channels are the map's."""
        if source in state.labels:
            state.mark(output, state.channels(source, 1), 1)


@LAYER_KINDS.register_module()
class RoIExtractor(LayerKind):
    """mmdet's extractors make their output with a number of channels that they were told."""

    modules = (BaseRoIExtractor,)
    sizes = {'out_channels': 'out_channels'}
    whole = False

    def trace(
        self, state: TraceState, path: str, module: nn.Module, source: tuple, output: Tensor
    ) -> None:
        """What has been followed inside counts as its channels."""
        if output in state.labels:
            state.scale(path, state.channels(output, 1))
