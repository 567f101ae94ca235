"""Subclasses of known layers with a forward of their own: nothing is known of how they compute."""

from torch import Tensor, nn

from mmdet_lcp.graph.layer_kinds.base import LayerKind
from mmdet_lcp.graph.trace_state import TraceState


class Unknown(LayerKind):
    """Mixed into a kind: what such a layer reads stays, and it writes nothing that can go.

    It is counted and timed as its base is.
    """

    known = False

    def trace(
        self, state: TraceState, path: str, module: nn.Module, source: Tensor, output: Tensor
    ) -> None:
        """What it reads stays."""
        kind = type(module).__name__
        state.stay(
            source, f'{path} is a {kind}, which computes its kernel from all of its weights'
        )
