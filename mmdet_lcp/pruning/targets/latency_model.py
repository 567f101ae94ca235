"""What one image takes at any numbers of channels, from the times of the layers.

T = s * sum of the layers' times (latency table) + e * numbers that they write + c. The last two
stand for what is between the layers (norms, activations, additions, the calls themselves); s for
what a layer takes in the midst of others instead of alone. All three are >= 0 and fitted to what
was measured of three whole detectors: the dense one, the smallest one that is allowed, and one
between.
"""

import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import nnls
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.layer_kit.run import read_times
from mmdet_lcp.export.layer_kit.whole import Grids, table_of
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.measure.latency_table import LatencyTable, LayerCall, LayerShape
from mmdet_lcp.measure.step_table import AXES, layer_kind
from mmdet_lcp.pruning.targets.cost_model import (
    ONE,
    CostModel,
    Term,
    Width,
    Widths,
    first_channels,
)
from mmdet_lcp.pruning.targets.stopwatches import RuntimeStopwatch, Stopwatch, write_detector_kit


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
        any_device: whether the given table may be of another device.

    Attributes:
        model: milliseconds at any numbers of channels.
        dense_ms: of the dense detector.
        measurable: whether the table belongs to this device, so that detectors can be timed.

    Raises:
        CompressionError: the given table lacks a layer, or is of another device.
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
        any_device: bool = False,
    ) -> None:
        self._dense, self._groups, self._least = dense, groups, least
        self._image_size, self._stopwatch, self._tell = image_size, stopwatch, tell
        here = stopwatch.here(next(dense.parameters()).device)
        if given is None and isinstance(stopwatch, RuntimeStopwatch):
            stopwatch.check()
        self._table = self._open(here, cache, given, any_device)
        self.measurable = self._table.device == here
        self._calls = stopwatch.calls(dense, image_size)
        self._widths = Widths(dense, groups)
        self._measure_layers()
        if self.measurable:
            self._table.anchors = self._measure_detectors()
            self._table.write()
        elif self._table.wholes:
            self._table.anchors = [self._anchor(*whole) for whole in self._table.wholes]
        self.model, self.dense_ms = self._fit(self._table.anchors)

    def share(self, counts: Sequence[int]) -> float:
        """Measured latency at some numbers of channels, over that of the dense detector."""
        before, after = self._time(counts)
        return after / before

    def _time(self, counts: Sequence[int]) -> tuple[float, float]:
        """Milliseconds of the dense detector, and of one with ``counts`` channels."""
        pruned = first_channels(self._dense, self._groups, counts)
        return self._stopwatch.pair(self._dense, pruned, self._image_size)

    def _open(self, here: str, cache: Path, given: Path | None, any_device: bool) -> LatencyTable:
        if given is None:
            if cache.exists() and (table := LatencyTable.read(cache)).device == here:
                return table
            return LatencyTable(here, cache)
        table = read_table(given)
        if table.device == here:
            table.path = cache  # the given file stays as it is
            return table
        what = f'The latency table {given} is of another device ({table.device})'
        if not any_device:
            raise CompressionError(
                f'{what} than this one ({here or "the runtime is not installed here"}). Is that '
                'what the detector will run on, say pruning.target.any_device=True; otherwise '
                'leave pruning.target.latency_table out, or set pruning.target.runtime and '
                'pruning.target.threads to what it was measured with'
            )
        self._tell(f'{what}: latencies are predicted from it and cannot be measured here')
        if table.alone:
            self._tell(f'They are predicted from the layers alone: {table.alone}')
        return table

    def _measure_layers(self) -> None:
        """Fill the table with what it lacks."""
        table = self._table
        wanted = {}
        ranges = wanted_widths(
            self._dense, self._widths, self._least, self._calls, self._stopwatch
        )
        for shape, grids in ranges.items():
            if not table.has(shape, *grids):
                wanted[shape] = grids
        if wanted and not self.measurable:
            raise CompressionError(
                f'{table.path}: lacks {len(wanted)} layers of this detector at the widths that '
                f'are needed, the first is {next(iter(wanted))}. Make the table with the same '
                'config on that device, or leave pruning.target.latency_table out to measure on '
                'this one'
            )
        if wanted:
            device = next(self._dense.parameters()).device
            self._stopwatch.layers(table, wanted, device, self._tell)

    def _measure_detectors(self) -> list[dict[str, float]]:
        """What the three detectors take, and what of it are their layers alone."""
        all_counts = anchor_counts(self._widths.dense, self._least)
        try:
            pairs = [self._time(counts) for counts in all_counts[1:]]
        except CompressionError as error:
            if not isinstance(self._stopwatch, RuntimeStopwatch):
                raise
            self.measurable = False
            self._table.alone = str(error)
            self._tell(f'Latencies are predicted from the layers alone, and not measured: {error}')
            return []
        whole = statistics.median(before for before, _ in pairs)
        times = [whole, *(whole * after / before for before, after in pairs)]
        return [self._anchor(*own) for own in zip(all_counts, times, strict=True)]

    def _anchor(self, counts: Sequence[int], ms: float) -> dict[str, float]:
        """A whole detector's milliseconds, and what of it are its layers alone.

        Raises:
            CompressionError: it has other groups.
        """
        if len(counts) != len(self._groups):
            raise CompressionError(
                f'{self._table.path}: was made with {len(counts)} groups of channels, and there '
                f'are {len(self._groups)}. Make the kit anew, with the same config'
            )
        layers = CostModel(0, self._layer_terms(1.0), len(self._groups))
        elements = CostModel(0, self._element_terms(1.0), len(self._groups))
        return dict(measured=ms, layers=layers.total(counts), elements=elements.total(counts))

    def _fit(self, anchors: list[dict[str, float]]) -> tuple[CostModel, float]:
        """The model, by relative errors, and the dense detector's milliseconds."""
        if not anchors and self._table.alone:
            model = CostModel(0, self._layer_terms(1.0), len(self._groups))
            return model, model.total(self._widths.dense)
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
            path, shape = key
            factor, dearer = scale * times, self._dearer(path, *axes[key])
            return Term(
                lambda ins, outs: factor * self._table.ms(shape, ins, outs) * dearer(ins, outs),
                *axes[key],
                path,
            )

        return [term(key, times) for key, times in runs.items()]

    def _dearer(self, path: str, inputs: Width, outputs: Width) -> Callable[[float, float], float]:
        """What a layer takes more at numbers of channels that are no step of the runtime."""
        steps, kind = self._stopwatch.steps, layer_kind(self._dense.get_submodule(path))
        if steps is None or kind in ('', 'grouped'):
            return lambda ins, outs: 1.0
        # what stays is in the table as it is
        follows = [bool(width.parts) for width in (inputs, outputs)]

        def dearer(ins: float, outs: float) -> float:
            pairs = zip(AXES, (ins, outs), follows, strict=True)
            return math.prod(steps.factor(kind, axis, n) for axis, n, own in pairs if own)

        return dearer

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


def wanted_widths(
    dense: nn.Module,
    widths: Widths,
    least: Sequence[int],
    calls: Sequence[LayerCall],
    stopwatch: Stopwatch,
) -> dict[LayerShape, Grids]:
    """The layers of a detector, with the widths at which each is timed.

    Args:
        dense: the dense detector.
        widths: of its layers.
        least: how few channels of each group may stay.
        calls: of its layers.
        stopwatch: knows how fine the grid is.
    """
    found: dict[LayerShape, list[tuple[int, int]]] = {}
    for call in calls:
        axes = widths.of_layer(call.path, dense.get_submodule(call.path))
        ranges = [(round(axis.at(least)), round(axis.at(widths.dense))) for axis in axes]
        # layers of one shape share a row: the widest ranges of them
        known = found.setdefault(call.shape, ranges)
        found[call.shape] = [
            (min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(known, ranges, strict=True)
        ]
    return {
        shape: tuple(stopwatch.grid(*limits) for limits in ranges)
        for shape, ranges in found.items()
    }


def anchor_counts(dense: Sequence[int], least: Sequence[int]) -> list[list[int]]:
    """Channels of the groups of three whole detectors: the dense, one between, the smallest."""
    between = [_between(fewest, most) for most, fewest in zip(dense, least, strict=True)]
    return [list(dense), between, list(least)]


def _between(fewest: int, most: int) -> int:
    """About half way, at a number that runtimes are fast at: the others are dear by themselves."""
    middle = (fewest + most) / 2
    for step in (16, 8, 4, 2):
        found = round(middle / step) * step
        if fewest < found < most:
            return found
    return (fewest + most) // 2


def read_table(path: Path) -> LatencyTable:
    """A table of latencies, or the times of a detector's kit.

    Raises:
        CompressionError: it cannot be read, or is neither.
    """
    try:
        kit = 'entries' in json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, TypeError):
        kit = False  # what is wrong is told where it is read
    return table_of(read_times(path), path) if kit else LatencyTable.read(path)


def write_latency_kit(
    folder: Path,
    dense: nn.Module,
    groups: Sequence[ChannelGroup],
    least: Sequence[int],
    image_size: tuple[int, int],
    stopwatch: RuntimeStopwatch,
    tell: Callable[[str], None],
) -> Path:
    """The kit that a device runs, so that a latency can be asked for there.

    Args:
        folder: of the kit.
        dense: the dense detector.
        groups: found on it.
        least: how few channels of each may stay.
        image_size: (height, width) in pixels.
        stopwatch: of the runtime.
        tell: takes lines for the user.

    Raises:
        CompressionError: a layer cannot be written for the runtime.
    """
    widths_of = Widths(dense, groups)
    calls = stopwatch.calls(dense, image_size)
    wanted = wanted_widths(dense, widths_of, least, calls, stopwatch)
    detectors = [
        (counts, first_channels(dense, groups, counts))
        for counts in anchor_counts(widths_of.dense, least)
    ]
    return write_detector_kit(folder, stopwatch.runtime, wanted, detectors, image_size, tell)
