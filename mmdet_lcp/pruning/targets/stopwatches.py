"""How times are taken: of layers and of whole detectors, in PyTorch or in a runtime."""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.layer_kit.run import check_measurable, run_kit
from mmdet_lcp.export.layer_kit.whole import Grids, add_layers, add_whole, fill, whole_bench
from mmdet_lcp.export.layer_kit.write import KitWriter
from mmdet_lcp.measure import on_device
from mmdet_lcp.measure.activations import activations_of
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
from mmdet_lcp.measure.runtimes import TORCH
from mmdet_lcp.measure.step_table import StepTable
from mmdet_lcp.pruning.targets.target import Target

Measure = Callable[[nn.Module, nn.Module, tuple[int, int]], tuple[float, float]]
Tell = Callable[[str], None]
Wanted = Mapping[LayerShape, Grids]

# Widths of a layer that is timed in a runtime: both ends and one between, a multiple of this.
POINTS, ROUND = 3, 16
# Whole detectors run for so many seconds in each of so many rounds.
SECONDS, ROUNDS = 0.3, 4


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
    """Times in PyTorch, in this process; tests bring their own functions.

    Attributes:
        layer: milliseconds of one call of a layer.
        detectors: milliseconds of two detectors, in turn, for an image size.
        threads: of the CPU; None leaves them as they are.
        steps: of the runtime, where they are known.
    """

    layer: TimeLayer = time_layer
    detectors: Measure = least_pair_ms
    threads: int | None = None
    steps: StepTable | None = None

    def here(self, device: torch.device) -> str:
        """What it measures on, in words; '' where it cannot measure."""
        with self.set_up():
            return device_name(device)

    def calls(self, detector: nn.Module, image_size: tuple[int, int]) -> list[LayerCall]:
        """The layers' calls on one image."""
        return layer_calls(detector, image_size)

    def grid(self, smallest: int, largest: int) -> list[int]:
        """Widths of an axis at which a layer is timed."""
        return widths(smallest, largest)

    def layers(
        self, table: LatencyTable, wanted: Wanted, device: torch.device, tell: Tell
    ) -> None:
        """Time layers, each at every pair of widths, and put them into a table."""
        with self.set_up():
            for number, (shape, (ins, outs)) in enumerate(wanted.items(), 1):
                table.measure(shape, ins, outs, device, self.layer)
                tell(f'Timed {number}/{len(wanted)} layers: {shape}')

    def pair(
        self, first: nn.Module, second: nn.Module, image_size: tuple[int, int]
    ) -> tuple[float, float]:
        """Milliseconds of two detectors, in turn."""
        with self.set_up():
            return self.detectors(first, second, image_size)

    @contextlib.contextmanager
    def set_up(self) -> Iterator[None]:
        """Run with the number of threads, and put it back."""
        before = torch.get_num_threads()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@dataclass
class RuntimeStopwatch(Stopwatch):
    """Times in a runtime, in a process of its own.

    Attributes:
        runtime: its name.
    """

    runtime: str = ''
    _kept: tuple[nn.Module, tempfile.TemporaryDirectory, str] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def here(self, device: torch.device) -> str:
        """See the base class; '' where the runtime is not installed."""
        try:
            on_device.engine(self.runtime)
        except on_device.KitError:
            return ''
        return on_device.device(self.runtime, self._threads)

    def check(self) -> None:
        """Refuse to measure where it cannot.

        Raises:
            CompressionError: the runtime, or what writes its files, is not installed.
        """
        check_measurable(self.runtime)

    def calls(self, detector: nn.Module, image_size: tuple[int, int]) -> list[LayerCall]:
        """See the base class; the shapes have the activations that follow."""
        behind = activations_of(detector, image_size)
        return [
            LayerCall(call.path, call.shape.with_activation(behind.get(call.path)), call.elements)
            for call in layer_calls(detector, image_size)
        ]

    def grid(self, smallest: int, largest: int) -> list[int]:
        """See the base class."""
        found = widths(smallest, largest, POINTS)
        between = [round(width / ROUND) * ROUND for width in found[1:-1]]
        return sorted({smallest, largest, *(w for w in between if smallest < w < largest)})

    def layers(
        self, table: LatencyTable, wanted: Wanted, device: torch.device, tell: Tell
    ) -> None:
        """See the base class."""
        self.check()
        with tempfile.TemporaryDirectory() as folder:
            writer = KitWriter(Path(folder), self.runtime)
            add_layers(writer, wanted)
            tell(
                f'Timing {len(wanted)} layers in {self.runtime}, {len(writer)} files of them at '
                'several widths'
            )
            fill(table, run_kit(writer.close(what='detector'), self._threads))
        table.write()

    def pair(
        self, first: nn.Module, second: nn.Module, image_size: tuple[int, int]
    ) -> tuple[float, float]:
        """See the base class.

        Raises:
            CompressionError: a detector cannot be exported, or the runtime cannot run it.
        """
        first_kit, first_name = self._written(first, image_size)
        with tempfile.TemporaryDirectory() as folder:
            writer = KitWriter(Path(folder), self.runtime)
            names = [
                writer.take(first_kit, first_name),
                add_whole(writer, whole_bench(second, image_size), ()),
            ]
            times = run_kit(writer.close(), self._threads, ROUNDS, SECONDS)
        ms = {entry['name']: entry['ms'] for entry in times['entries']}
        return ms[names[0]], ms[names[1]]

    def _written(self, detector: nn.Module, image_size: tuple[int, int]) -> tuple[Path, str]:
        """A kit with a detector, and its name there; of the same one, the same kit again.

        Every attempt is compared with the dense detector, which some converters take a minute for.
        """
        if self._kept is None or self._kept[0] is not detector:
            folder = tempfile.TemporaryDirectory()
            writer = KitWriter(Path(folder.name), self.runtime)
            name = add_whole(writer, whole_bench(detector, image_size), ())
            writer.close()
            self._kept = (detector, folder, name)
        return Path(self._kept[1].name), self._kept[2]

    @property
    def _threads(self) -> int:
        return self.threads or torch.get_num_threads()


def stopwatch_for(target: Target, steps: StepTable | None = None) -> Stopwatch:
    """What measures for a target of latency.

    Args:
        target: with a latency.
        steps: of its runtime, on the device that it is about.
    """
    if target.runtime in (None, TORCH):
        return Stopwatch(threads=target.threads)
    return RuntimeStopwatch(threads=target.threads, steps=steps, runtime=target.runtime)


def write_detector_kit(
    folder: Path,
    runtime: str,
    wanted: Wanted,
    detectors: Sequence[tuple[Sequence[int], nn.Module]],
    image_size: tuple[int, int],
    tell: Tell,
) -> Path:
    """A kit of a detector's layers and of some whole ones, for another device.

    Args:
        folder: of the kit.
        runtime: one of `RUNTIMES`.
        wanted: layers, with the widths of each.
        detectors: (channels of the groups, detector) of each whole one.
        image_size: (height, width) in pixels.
        tell: takes lines for the user.

    Raises:
        CompressionError: a layer cannot be written for the runtime.
    """
    writer = KitWriter(folder, runtime)
    add_layers(writer, wanted)
    try:
        for counts, detector in detectors:
            add_whole(writer, whole_bench(detector, image_size), counts)
    except CompressionError as error:
        tell(f'No whole detector is in the kit: {error}')
    return writer.close(what='detector')
