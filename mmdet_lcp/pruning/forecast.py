"""What a pruning run will take away, told before anything is trained.

Half of the channels of some groups may be half of a detector, or nothing worth the training. So
the numbers of channels are turned into costs of the backbone and of the whole beforehand, and
where a ratio comes to much less than it sounds like, what would take more is worked out too.
"""

import math
from collections.abc import Callable, Iterable, Sequence

from torch import nn

from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.graph.layer_kinds import kind_of
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.targets.cost_model import CostModel, Widths, macs_model, params_model
from mmdet_lcp.pruning.wider import wider
from mmdet_lcp.report.tables import format_change, format_count, text_table

BACKBONE = 'backbone'
# Of the share that a ratio names: where less than this part of it goes, it is not what was meant.
ENOUGH = 0.5


class Forecast:
    """Costs of a detector at any stages, from one count of the dense one.

    Args:
        dense: the dense detector.
        groups: all of its channel groups.
        image_size: (height, width) in pixels.
    """

    def __init__(
        self, dense: nn.Module, groups: Sequence[ChannelGroup], image_size: tuple[int, int]
    ) -> None:
        self._dense, self._all = dense, groups
        self._groups = [group for group in groups if not group.obstacle]
        self._macs = macs_model(dense, self._groups, image_size)
        self._params = params_model(dense, self._groups)
        self._full = [group.channels for group in self._groups]

    def macs_removed(self, stages: Iterable[Stage]) -> float:
        """Share of the whole detector's multiply-accumulates that goes, in [0, 1]."""
        return 1 - self._macs.total(self._counts(stages)) / self._macs.total(self._full)

    def table(self, stages: Sequence[Stage]) -> str:
        """Channels, multiply-accumulates and parameters before and after, as a table."""
        counts = self._counts(stages)
        rows = []
        parts = [('whole detector', '')]
        if isinstance(getattr(self._dense, BACKBONE, None), nn.Module):
            parts.insert(0, (BACKBONE, f'{BACKBONE}.'))
        for name, prefix in parts:
            cells = []
            for cost in (self._channels, self._of(self._macs), self._of(self._params)):
                before, after = cost(prefix, self._full), cost(prefix, counts)
                change = format_change(before, after)
                cells.append(f'{format_count(before)} -> {format_count(after)} ({change})')
            rows.append([name, *cells])
        return text_table(['', 'channels', 'multiply-accumulates', 'parameters'], rows)

    def warning(self, stages: Sequence[Stage], config: RemovalConfig) -> str | None:
        """What is to be said where a ratio takes away much less than it sounds like.

        Args:
            stages: those that the config chooses.
            config: with one ratio for all groups; of a mapping nothing is said.
        """
        if not isinstance(config.ratio, float | int):
            return None
        removed = self.macs_removed(stages)
        if removed >= ENOUGH * config.ratio:
            return None
        helps = [
            (text, self.macs_removed(more)) for text, more in wider(self._dense, self._all, config)
        ]
        lines = [
            f'  pruning = dict({text})  # {100 * more:.0f} %'
            for text, more in helps
            if more > removed
        ]
        text = (
            f'pruning.ratio={config.ratio:g} takes {100 * removed:.1f} % of the '
            "multiply-accumulates: it is the fraction of each group's channels, and most of the "
            'cost lies elsewhere. '
        )
        if lines:
            return f'{text}What would take more, and how much of them:\n' + '\n'.join(lines)
        return f'{text}No other layers or kinds of groups can be pruned; see what is left alone.'

    def _counts(self, stages: Iterable[Stage]) -> list[int]:
        """Channels of each group that stay."""
        keep = {stage.group.name: stage.keep for stage in stages}
        return [keep.get(group.name, group.channels) for group in self._groups]

    def _of(self, model: CostModel) -> Callable[[str, Sequence[int]], float]:
        def cost(prefix: str, counts: Sequence[int]) -> float:
            if not prefix:
                return model.total(counts)
            layers = model.by_layer(counts)
            return sum(value for path, value in layers.items() if path.startswith(prefix))

        return cost

    def _channels(self, prefix: str, counts: Sequence[int]) -> float:
        """Channels that the layers with kernels write."""
        widths = Widths(self._dense, self._groups)
        return math.fsum(
            widths.outputs(path, module).at(counts)
            for path, module in self._dense.named_modules()
            if path.startswith(prefix)
            and (kind := kind_of(module)) is not None
            and kind.has_kernels
        )
