"""A kit that tells where a runtime's time steps with the number of channels."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.layer_kit.networks import bench_of
from mmdet_lcp.export.layer_kit.run import check_measurable, layer_ms, run_kit
from mmdet_lcp.export.layer_kit.write import KitWriter
from mmdet_lcp.measure.latency_table import LayerShape
from mmdet_lcp.measure.step_table import Curve, StepTable

WHAT = 'steps'
GROUPS = 4


@dataclass(frozen=True)
class Probe:
    """A layer whose number of channels is varied.

    Attributes:
        kind: see `step_table.KINDS`.
        axis: see `step_table.AXES`.
        kernel: size of its kernel.
        stride: of it.
        others: channels of the other axis; of a depth-wise or grouped layer none.
        size: height and width of its input.
        first: the least number of channels.
        last: the largest, a block of 16 further.
    """

    kind: str
    axis: str
    kernel: int
    stride: int
    others: int
    size: int
    first: int
    last: int

    def __str__(self) -> str:
        at = f'{self.size}x{self.size}'
        kernel = f'{self.kernel}x{self.kernel}'
        stride = f' stride {self.stride}' if self.stride > 1 else ''
        if self.kind == 'depthwise':
            return f'depth-wise {kernel}{stride}, N channels, on {at}'
        if self.kind == 'grouped':
            return f'{kernel}{stride}, {GROUPS} groups of N channels, on {at}'
        ends = f'N -> {self.others}' if self.axis == 'in_channels' else f'{self.others} -> N'
        return f'{kernel}{stride}, {ends} channels, on {at}'

    @property
    def counts(self) -> range:
        """The numbers of channels."""
        return range(self.first, self.last + 1)

    def widths(self, count: int) -> tuple[int, int, int]:
        """(input channels, output channels, groups) of the layer at a number of channels."""
        if self.kind == 'depthwise':
            return count, count, count
        if self.kind == 'grouped':
            return GROUPS * count, GROUPS * count, GROUPS
        ends = (count, self.others)
        return (*(ends if self.axis == 'in_channels' else ends[::-1]), 1)


def probes(quick: bool = False) -> Iterator[Probe]:
    """The layers that are measured.

    Args:
        quick: at one size and width each, instead of two.
    """
    for size, first, others in ((38, 48, 64), (19, 112, 128))[: 1 if quick else 2]:
        last = first + 16
        for axis in ('in_channels', 'out_channels'):
            yield Probe('1x1', axis, 1, 1, others, size, first, last)
            yield Probe('spatial', axis, 3, 1, others, size, first, last)
            if first == 48:
                yield Probe('strided', axis, 3, 2, others, size, first, last)
        yield Probe('depthwise', 'in_channels', 3, 1, 0, size, first, last)
    yield Probe('depthwise', 'in_channels', 3, 2, 0, 38, 48, 64)
    yield Probe('grouped', 'in_channels', 3, 1, 0, 19, 16, 32)


def write_steps_kit(
    folder: Path, runtime: str, quick: bool = False, tell: Callable[[str], None] = print
) -> Path:
    """Write the kit.

    Args:
        folder: of it.
        runtime: one of `RUNTIMES`.
        quick: fewer layers.
        tell: takes lines about the progress.

    Raises:
        CompressionError: the runtime is unknown, or what writes its files is not installed.
    """
    writer = KitWriter(folder, runtime)
    for probe in probes(quick):
        for count in probe.counts:
            ins, outs, groups = probe.widths(count)
            conv = nn.Conv2d(
                ins, outs, probe.kernel, probe.stride, probe.kernel // 2, groups=groups
            )
            image = torch.zeros(1, ins, probe.size, probe.size)
            shape = LayerShape.of(conv, image).with_activation('relu')
            about = {
                'kind': probe.kind,
                'axis': probe.axis,
                'layer': str(probe),
                'channels': count,
            }
            bench = bench_of(shape, 1 if probe.kind == 'depthwise' else ins, outs)
            writer.add_layer(bench, about)
        tell(f'written: {probe}, {probe.first} to {probe.last}')
    return writer.close(what=WHAT)


def steps_of(times: Mapping[str, Any]) -> StepTable:
    """The table, from what a run of the kit has told.

    Raises:
        CompressionError: it is the run of another kit.
    """
    if times.get('what') != WHAT:
        raise CompressionError(
            'these are no times of a kit for steps: make one with `mmdet-lcp measure-steps '
            '--kit FOLDER`'
        )
    ms = layer_ms(times)
    points: dict[tuple[str, str, str], dict[int, float]] = {}
    for entry in times['entries']:
        if 'kind' in entry:
            key = (entry['kind'], entry['axis'], entry['layer'])
            points.setdefault(key, {})[entry['channels']] = round(ms[entry['name']], 5)
    curves = tuple(
        Curve(*key, tuple(sorted(own)), tuple(own[n] for n in sorted(own)))
        for key, own in points.items()
    )
    facts = ('runtime', 'engine_version', 'processor', 'threads', 'date')
    return StepTable(curves=curves, **{key: times[key] for key in facts})


def measure_steps(
    runtime: str, threads: int, quick: bool = False, tell: Callable[[str], None] = print
) -> StepTable:
    """Write the kit, run it here, and read the table.

    Args:
        runtime: one of `RUNTIMES`.
        threads: of the CPU.
        quick: fewer layers.
        tell: takes lines about the progress.

    Raises:
        CompressionError: the runtime is unknown or not installed.
    """
    check_measurable(runtime)
    with tempfile.TemporaryDirectory() as folder:
        kit = write_steps_kit(Path(folder), runtime, quick, tell)
        return steps_of(run_kit(kit, threads, rounds=4))
