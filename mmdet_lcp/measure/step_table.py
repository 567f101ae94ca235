"""Steps of a runtime: at which numbers of channels its layers are fast, from measured times.

Runtimes work on blocks of channels. A curve holds the milliseconds of one kind of layer at every
number of channels over one block of 16; where a number takes longer than a larger one, nobody
gains by it. The tables that come with the package were measured by `mmdet-lcp measure-steps`; one
of a user's own processor is a file of the same form.
"""

import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json

VERSION = 1
SHIPPED = Path(__file__).with_name('steps')
# The numbers of channels that may be a step, from the one that leaves the most to choose from.
STEPS = (1, 2, 4, 8, 16)
# Differences of so much are noise.
NOISE = 0.03
# On the average over its multiples a step may cost so much more than the fastest numbers around.
DEARER = 0.05

# What a layer is to a runtime. A depth-wise or grouped layer loses inputs and outputs together.
KINDS = ('1x1', 'spatial', 'strided', 'depthwise', 'grouped')
AXES = ('in_channels', 'out_channels')


def layer_kind(module: nn.Module) -> str:
    """What a layer is to a runtime, one of `KINDS`; '' for what is no convolution."""
    if not isinstance(module, nn.modules.conv._ConvNd):
        return ''
    if module.groups > 1:
        whole = module.groups >= module.in_channels
        return 'depthwise' if whole else 'grouped'
    if math.prod(module.kernel_size) == 1:
        return '1x1'
    return 'spatial' if math.prod(module.stride) == 1 else 'strided'


@dataclass(frozen=True)
class Curve:
    """Times of one layer as one of its axes gets narrower.

    Attributes:
        kind: one of `KINDS`: a kernel of one position; a larger one, of stride 1 or more; a
            depth-wise one; one with groups, whose channels are those of one group.
        axis: one of `AXES`; of a depth-wise or grouped layer both, said as ``'in_channels'``.
        layer: the layer in words.
        channels: rising, one after the other.
        ms: milliseconds at each of them.
    """

    kind: str
    axis: str
    layer: str
    channels: tuple[int, ...]
    ms: tuple[float, ...]

    def slower(self) -> list[int]:
        """Numbers of channels that take longer than a larger and rounder one.

        Rounder is what a larger power of two divides: runtimes have blocks of such, and what is
        less round and seems faster was measured badly.
        """
        points = dict(zip(self.channels, self.ms, strict=True))
        return [
            number
            for number, ms in points.items()
            if any(
                ms * (1 - NOISE) > points[larger]
                for larger in points
                if larger > number and _power(larger) > _power(number)
            )
        ]

    def dearer(self) -> dict[int, float]:
        """Times over those of the fastest layers around: 1 is as fast as any.

        What is as fast as any lies on the largest convex function below the multiples of 4.
        """
        points = list(zip(self.channels, self.ms, strict=True))
        hull: list[tuple[int, float]] = []
        for point in (point for point in points if point[0] % 4 == 0):
            while len(hull) > 1 and _above(hull[-2], hull[-1], point):
                hull.pop()
            hull.append(point)
        places, times = zip(*(hull or points), strict=True)
        return {number: ms / float(np.interp(number, places, times)) for number, ms in points}


def _power(number: int) -> int:
    """The largest power of two in a number, up to the largest step."""
    return math.gcd(number, STEPS[-1])


def _above(first: tuple[int, float], middle: tuple[int, float], last: tuple[int, float]) -> bool:
    """Whether the middle point lies on or above the line from the first to the last."""
    slope = (last[1] - first[1]) / (last[0] - first[0])
    return middle[1] >= first[1] + slope * (middle[0] - first[0])


@dataclass(frozen=True)
class StepTable:
    """The curves of a runtime on a processor.

    Attributes:
        runtime: its name.
        engine_version: of the engine.
        processor: in words.
        threads: that it ran on.
        date: of the measurement, ISO.
        curves: of each kind and axis one or more.
    """

    runtime: str
    engine_version: str
    processor: str
    threads: int
    date: str
    curves: tuple[Curve, ...]
    _steps: dict[tuple[str, str], tuple[int, int]] = field(
        default_factory=dict, compare=False, repr=False, init=False
    )

    def steps(self, kind: str, axis: str) -> tuple[int, int]:
        """The steps of a kind of layer.

        Args:
            kind: one of `KINDS`.
            axis: one of `AXES`.

        Returns:
            The smallest step whose multiples are never slower than more channels, and the
            smallest whose multiples are as fast as any besides, up to `DEARER`: two of `STEPS`;
            1 and 1 where the table has no such curve.
        """
        if (kind, axis) not in self._steps:
            curves = self.of(kind, axis)
            sound = next(
                (step for step in STEPS if all(_sound(curve, step) for curve in curves)), STEPS[-1]
            )
            fast = next(
                (
                    step
                    for step in STEPS
                    if step >= sound and all(_fast(curve, step) for curve in curves)
                ),
                STEPS[-1],
            )
            self._steps[kind, axis] = (sound, fast)
        return self._steps[kind, axis]

    def of(self, kind: str, axis: str) -> list[Curve]:
        """The curves of a kind of layer; a depth-wise or grouped one has the same on both axes."""
        if kind in ('depthwise', 'grouped'):
            axis = AXES[0]
        return [curve for curve in self.curves if (curve.kind, curve.axis) == (kind, axis)]

    def factor(self, kind: str, axis: str, channels: float) -> float:
        """How much longer a layer takes than one with as many channels at a step would, >= 1.

        Args:
            kind: one of `KINDS`.
            axis: one of `AXES`.
            channels: of it.
        """
        if channels != int(channels) or int(channels) % max(STEPS) == 0:
            return 1.0
        rest = int(channels) % max(STEPS)
        found = [
            dearer[number]
            for curve in self.of(kind, axis)
            for dearer in [curve.dearer()]
            for number in curve.channels
            if number % max(STEPS) == rest
        ]
        return max(statistics.fmean(found), 1.0) if found else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        found = {'version': VERSION}
        for key in ('runtime', 'engine_version', 'processor', 'threads', 'date'):
            found[key] = getattr(self, key)
        return {**found, 'curves': [asdict(curve) for curve in self.curves]}

    def write(self, path: Path) -> None:
        """Write the file."""
        write_json(path, self.to_dict())

    @classmethod
    def read(cls, path: Path) -> 'StepTable':
        """Read a file.

        Raises:
            CompressionError: it cannot be read, or is something else.
        """
        try:
            data = json.loads(path.read_text(encoding='utf-8'))
            if data.pop('version') != VERSION:
                raise ValueError(f'this package reads version {VERSION}')
            curves = tuple(map(_curve, data.pop('curves')))
            if not curves:
                raise ValueError('it has no curves')
            return cls(curves=curves, **data)
        except OSError as error:
            raise CompressionError(f'{path}: the steps cannot be read: {error}') from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CompressionError(
                f'{path}: is no table of steps ({error}): make it with `mmdet-lcp measure-steps`'
            ) from error


def _curve(data: Mapping[str, Any]) -> Curve:
    curve = Curve(**{**data, 'channels': tuple(data['channels']), 'ms': tuple(data['ms'])})
    if curve.kind not in KINDS or curve.axis not in AXES:
        raise ValueError(f'a curve of {curve.kind!r}, {curve.axis!r}')
    if len(curve.channels) != len(curve.ms) or list(curve.channels) != sorted(curve.channels):
        raise ValueError(f'{curve.layer}: channels and times do not fit')
    if not all(ms > 0 and math.isfinite(ms) for ms in curve.ms):
        raise ValueError(f'{curve.layer}: a time is not above 0')
    return curve


def _sound(curve: Curve, step: int) -> bool:
    return not any(number % step == 0 for number in curve.slower())


def _fast(curve: Curve, step: int) -> bool:
    # the last number is the first one of the next block
    numbers = [number for number in curve.channels[:-1] if number % step == 0]
    found = [curve.dearer()[number] for number in numbers]
    return not found or statistics.fmean(found) <= 1 + DEARER


@cache
def shipped_tables() -> tuple[StepTable, ...]:
    """The tables that come with the package."""
    return tuple(StepTable.read(path) for path in sorted(SHIPPED.glob('*.json')))


def table_for(
    runtime: str, processor: str, tables: Iterable[StepTable] | None = None
) -> StepTable | None:
    """The table of a runtime: of the same processor, or else of one with the same vector units.

    Args:
        runtime: its name.
        processor: in the words of `on_device.processor`.
        tables: to choose from; those of the package unless told.
    """
    found = [t for t in (shipped_tables() if tables is None else tables) if t.runtime == runtime]
    same = [t for t in found if t.processor == processor]
    alike = [t for t in found if _units(t.processor) == _units(processor)]
    return next(iter((*same, *alike)), None)


def _units(processor: str) -> str:
    """Architecture and vector units, which stand in brackets behind the model."""
    return processor.rpartition('(')[2]
