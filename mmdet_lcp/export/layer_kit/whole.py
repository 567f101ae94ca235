"""Whole detectors in a kit, and the table of latencies that a kit tells."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.models.detectors import BaseDetector
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.graph import ExportGraph
from mmdet_lcp.export.layer_kit.networks import Bench, bench_of
from mmdet_lcp.export.layer_kit.run import layer_ms
from mmdet_lcp.export.layer_kit.write import Entry, KitWriter
from mmdet_lcp.graph.example import input_channels
from mmdet_lcp.graph.forward import is_two_stage
from mmdet_lcp.measure.latency_table import LatencyTable, LayerShape
from mmdet_lcp.modes import evaluated

Grids = tuple[Sequence[int], Sequence[int]]


def whole_bench(detector: nn.Module, image_size: tuple[int, int]) -> Bench:
    """A detector as it is exported: preprocessed image in, the head's outputs out.

    Of two stages boxes and scores, since the second one starts from the boxes of the first.

    Args:
        detector: an mmdet detector or another module; left as it is.
        image_size: (height, width) in pixels.

    Raises:
        CompressionError: it cannot be exported.
    """
    size = (1, input_channels(detector), *image_size)
    own = evaluated(copy.deepcopy(detector).cpu())
    if isinstance(detector, BaseDetector):
        form = 'decoded' if is_two_stage(own) else 'raw'
        own = ExportGraph(own, image_size, form, pixels=False).eval()
    return Bench(own, size)


def add_layers(writer: KitWriter, wanted: Mapping[LayerShape, Grids]) -> None:
    """Put layers into a kit, each at every pair of widths.

    Raises:
        CompressionError: one of them cannot be written for the runtime.
    """
    for shape, (ins, outs) in wanted.items():
        for one in ins:
            for other in outs:
                about = {'layer': str(shape), 'ins': int(one), 'outs': int(other)}
                try:
                    writer.add_layer(bench_of(shape, one, other), about)
                except CompressionError as error:
                    raise CompressionError(f'{shape}: {error}') from error


def add_whole(writer: KitWriter, bench: Bench, counts: Sequence[int]) -> str:
    """Put a whole detector into a kit; returns its name.

    Args:
        writer: of the kit.
        bench: the detector.
        counts: channels of its groups, in order.

    Raises:
        CompressionError: it cannot be written for the runtime.
    """
    return writer.add(Entry(bench, {'counts': list(counts)}), pack=False)


def fill(table: LatencyTable, times: Mapping[str, Any]) -> None:
    """Put the layers' times of a run into a table, and the whole detectors'."""
    ms = layer_ms(times)
    layers: dict[str, dict[tuple[int, int], float]] = {}
    for entry in times['entries']:
        if 'layer' in entry:
            at = (entry['ins'], entry['outs'])
            layers.setdefault(entry['layer'], {})[at] = ms[entry['name']]
    for key, points in layers.items():
        ins = sorted({at[0] for at in points})
        outs = sorted({at[1] for at in points})
        table.put(key, ins, outs, np.array([[points[i, o] for o in outs] for i in ins]))
    table.wholes += [
        (tuple(entry['counts']), entry['ms']) for entry in times['entries'] if 'counts' in entry
    ]


def table_of(times: Mapping[str, Any], path: Path | None = None) -> LatencyTable:
    """The table that the run of a detector's kit tells.

    Args:
        times: of `read_times`.
        path: the file that it was read from, for messages.

    Raises:
        CompressionError: it is the run of another kit.
    """
    if times.get('what') != 'detector':
        raise CompressionError(
            f"{path or 'the times'}: are no times of a detector's layers: make the kit with "
            '`mmdet-lcp latency-kit`'
        )
    table = LatencyTable(times['device'])
    fill(table, times)
    table.path = path
    if not table.wholes:
        table.alone = 'no whole detector was in the kit'
    return table
