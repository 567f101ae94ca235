"""What one image takes at any numbers of channels, from the times of the layers.

T = s * sum of the layers' times (latency table) + e * numbers that they write + c. The last two
stand for what is between the layers (norms, activations, additions, the calls themselves); s for
what a layer takes in the midst of others instead of alone. All three are >= 0 and fitted to what
was measured of three whole detectors: the dense one, the smallest one that is allowed, and one
between.
"""

import logging
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from scipy.optimize import nnls
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.measure.latency_table import (
    LatencyTable,
    LayerCall,
    LayerShape,
    TimeLayer,
    device_name,
    layer_calls,
    time_layer,
    widths,
)
from mmdet_lcp.measure.pair_timing import time_pair
from mmdet_lcp.pruning.targets.cost_model import (
    ONE,
    CostModel,
    Term,
    Width,
    Widths,
    first_channels,
)

Measure = Callable[[nn.Module, nn.Module, tuple[int, int]], tuple[float, float]]


def least_pair_ms(
    first: nn.Module, second: nn.Module, image_size: tuple[int, int]
) -> tuple[float, float]:
    """Milliseconds of two detectors, in turn, as the report tells them at the end."""
    timing = time_pair(first, second, image_size)
    if timing.busy:
        print_log(timing.busy, logger='current', level=logging.WARNING)
    return timing.ms


@dataclass
class Stopwatch:
    """How times are taken; tests bring their own.

    Attributes:
        layer: milliseconds of one call of a layer.
        detectors: milliseconds of two detectors, in turn, for an image size.
    """

    layer: TimeLayer = time_layer
    detectors: Measure = least_pair_ms


class Latency:
    """The latency of one detector with some groups of channels.

    Args:
        dense: the dense detector.
        groups: found on it.
        least: how few channels of each may stay.
        image_size: (height, width) in pixels.
        cache: file in which the measured table is kept, and looked for.
        given: file of a table that was made elsewhere, instead.
        stopwatch: takes the times.
        tell: takes lines for the user.

    Attributes:
        model: milliseconds at any numbers of channels.
        dense_ms: of the dense detector.
        measurable: whether the table belongs to this device, so that detectors can be timed.

    Raises:
        CompressionError: the given table lacks a layer.
    """

    def __init__(
        self,
        dense: nn.Module,
        groups: Sequence[ChannelGroup],
        least: Sequence[int],
        image_size: tuple[int, int],
        cache: Path,
        given: Path | None,
        stopwatch: Stopwatch,
        tell: Callable[[str], None],
    ) -> None:
        self._dense, self._groups, self._least = dense, groups, least
        self._image_size, self._stopwatch, self._tell = image_size, stopwatch, tell
        here = device_name(next(dense.parameters()).device)
        self._table = self._open(here, cache, given)
        self.measurable = self._table.device == here
        self._calls = layer_calls(dense, image_size)
        self._widths = Widths(dense, groups)
        self._measure_layers()
        if self.measurable:
            self._table.anchors = self._measure_detectors()
            self._table.write()
        self.model, self.dense_ms = self._fit(self._table.anchors)

    def share(self, counts: Sequence[int]) -> float:
        """Measured latency at some numbers of channels, over that of the dense detector."""
        before, after = self._time(counts)
        return after / before

    def _time(self, counts: Sequence[int]) -> tuple[float, float]:
        """Milliseconds of the dense detector, and of one with ``counts`` channels."""
        pruned = first_channels(self._dense, self._groups, counts)
        return self._stopwatch.detectors(self._dense, pruned, self._image_size)

    def _open(self, here: str, cache: Path, given: Path | None) -> LatencyTable:
        if given is None:
            if cache.exists() and (table := LatencyTable.read(cache)).device == here:
                return table
            return LatencyTable(here, cache)
        table = LatencyTable.read(given)
        if table.device == here:
            table.path = cache  # the given file stays as it is
        else:
            self._tell(
                f'The latency table {given} is of another device ({table.device}): latencies are '
                'predicted from it and cannot be measured here'
            )
        return table

    def _measure_layers(self) -> None:
        """Fill the table with what it lacks."""
        table = self._table
        wanted = {}
        for call in self._calls:
            grids = [widths(*self._range(width)) for width in self._axes(call)]
            if not table.has(call.shape, *grids):
                wanted[call.shape] = grids
        if wanted and not self.measurable:
            raise CompressionError(
                f'{table.path}: lacks {len(wanted)} layers of this detector at the widths that '
                f'are needed, the first is {next(iter(wanted))}. Make the table with the same '
                'config on that device, or leave pruning.target.latency_table out to measure on '
                'this one'
            )
        device = next(self._dense.parameters()).device
        for number, (shape, (ins, outs)) in enumerate(wanted.items(), 1):
            table.measure(shape, ins, outs, device, self._stopwatch.layer)
            self._tell(f'Timed {number}/{len(wanted)} layers: {shape}')

    def _measure_detectors(self) -> list[dict[str, float]]:
        """What the three detectors take, and what of it are their layers alone."""
        dense = self._widths.dense
        between = [(n + least) // 2 for n, least in zip(dense, self._least, strict=True)]
        pairs = [self._time(counts) for counts in (between, self._least)]
        whole = statistics.median(before for before, _ in pairs)
        times = [whole, *(whole * after / before for before, after in pairs)]
        layers = CostModel(0, self._layer_terms(1.0), len(dense))
        elements = CostModel(0, self._element_terms(1.0), len(dense))
        return [
            dict(
                measured=ms,
                layers=layers.total(counts),
                elements=elements.total(counts),
            )
            for ms, counts in zip(times, (dense, between, self._least), strict=True)
        ]

    def _fit(self, anchors: list[dict[str, float]]) -> tuple[CostModel, float]:
        """The model, by relative errors, and the dense detector's milliseconds."""
        try:
            rows = np.array([[a['layers'], a['elements'], 1.0] for a in anchors])
            times = np.array([a['measured'] for a in anchors], dtype=float)
            if not len(times) or not (np.isfinite(times) & (times > 0)).all():
                raise ValueError('there are none')
            scale, each, constant = nnls(rows / times[:, None], np.ones(len(times)))[0]
        except (ValueError, KeyError, TypeError) as error:
            raise CompressionError(
                f'{self._table.path}: has no times of whole detectors. Make the table by a run '
                'with the same config on that device'
            ) from error
        terms = [*self._layer_terms(scale), *self._element_terms(each)]
        return CostModel(constant, terms, len(self._groups)), float(times[0])

    def _layer_terms(self, scale: float) -> list[Term]:
        """The layers' times; a layer that runs several times counts each of them."""
        runs = Counter((call.path, call.shape) for call in self._calls)
        axes = {(call.path, call.shape): self._axes(call) for call in self._calls}

        def term(key: tuple[str, LayerShape], times: int) -> Term:
            factor = scale * times
            return Term(lambda ins, outs: factor * self._table.ms(key[1], ins, outs), *axes[key])

        return [term(key, times) for key, times in runs.items()]

    def _element_terms(self, each: float) -> list[Term]:
        return [
            self._widths.product(
                each * call.elements * outputs.at(self._widths.dense), ONE, outputs
            )
            for call in self._calls
            for _, outputs in [self._axes(call)]
        ]

    def _axes(self, call: LayerCall) -> tuple[Width, Width]:
        return self._widths.of_layer(call.path, self._dense.get_submodule(call.path))

    def _range(self, width: Width) -> tuple[int, int]:
        return round(width.at(self._least)), round(width.at(self._widths.dense))
