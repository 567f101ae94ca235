"""A latency table: milliseconds of every layer of a detector, at several widths.

Each distinct shape of a layer with kernels (convolution, linear) is timed alone, at a grid of
input and output widths; between the grid's points it is interpolated. As in NetAdapt (Yang et al.,
ECCV 2018, section 3.3) and FBNet (Wu et al., CVPR 2019, section 3.2), a network is then about the
sum of its layers.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_json
from mmdet_lcp.graph.layer_kinds import kind_of, layers_of
from mmdet_lcp.measure.hardware import hardware
from mmdet_lcp.measure.latency import undisturbed_clock
from mmdet_lcp.measure.one_image import evaluating, run_once

VERSION = 1
LATENCY_TABLE = 'latency_table.json'
# Seconds that a layer is run for at each width.
MIN_RUN_TIME = 0.02

TimeLayer = Callable[[nn.Module, Tensor], float]


@dataclass(frozen=True)
class LayerShape:
    """What decides how long one call of a layer takes.

    Attributes:
        kind: ``'Conv2d'``, ``'Linear'``, ...: a class of ``torch.nn``, or of a layer of one's own.
        channels: (input, output) channels in the detector before pruning.
        options: what else decides, by name: kernel size, stride, padding, dilation, bias. A
            grouped convolution has ``group`` instead of ``groups``: a group's (input, output)
            channels.
        shape: of its input, without the channels: (N, H, W) for an image, (rows,) for a linear
            layer.
        narrower: see `LayerKind.narrower`.
        dim: dimension of the channels in the input.
    """

    kind: str
    channels: tuple[int, int]
    options: tuple[tuple[str, Any], ...]
    shape: tuple[int, ...]
    narrower: Callable[[int, int], tuple[nn.Module, int]] = field(compare=False, repr=False)
    dim: int = field(default=1, compare=False)

    @classmethod
    def of(cls, module: nn.Module, inputs: Tensor) -> 'LayerShape':
        """The shape of one call of a layer with kernels."""
        kind = kind_of(module)
        shape = kind.call_shape(module, inputs)
        return cls(
            kind.name(module),
            (kind.size(module, 'in_channels'), kind.size(module, 'out_channels')),
            kind.options(module),
            shape,
            kind.narrower(module),
            kind.channel_dim(module, len(shape) + 1),
        )

    def with_activation(self, name: str | None) -> 'LayerShape':
        """The same with an activation behind it, which a runtime computes in one go with it."""
        if name is None:
            return self
        return replace(self, options=(*self.options, ('activation', name)))

    def build(self, ins: int, outs: int) -> tuple[nn.Module, tuple[int, ...]]:
        """A layer of this shape at given widths, and the shape of its input.

        The widths of a grouped convolution are rounded up, see its kind.
        """
        module, ins = self.narrower(ins, outs)
        return module, (*self.shape[: self.dim], ins, *self.shape[self.dim :])

    def __str__(self) -> str:
        """``Conv2d 64->128 kernel_size=3x3 stride=1x1 padding=1x1 ... on 1x38x38``."""

        def text(value: Any) -> str:
            return 'x'.join(map(str, value)) if isinstance(value, tuple) else str(value)

        words = ' '.join(f'{name}={text(value)}' for name, value in self.options)
        ins, outs = self.channels
        return f'{self.kind} {ins}->{outs} {words} on {text(self.shape)}'


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer in a detector's forward pass.

    Attributes:
        path: of the layer.
        shape: what decides on its time.
        elements: numbers that it writes for each of its output channels.
    """

    path: str
    shape: LayerShape
    elements: int


def layer_calls(detector: nn.Module, input_shape: tuple[int, int]) -> list[LayerCall]:
    """Every call of a layer with kernels on one image, in order of execution.

    Args:
        detector: an mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.
    """
    calls: list[LayerCall] = []

    def note(path: str, module: nn.Module, args: tuple, output: Tensor) -> None:
        elements = output.numel() // kind_of(module).size(module, 'out_channels')
        calls.append(LayerCall(path, LayerShape.of(module, args[0]), elements))

    hooks = [
        module.register_forward_hook(lambda *a, path=path: note(path, *a))
        for path, module, _ in layers_of(detector)
    ]
    try:
        run_once(detector, input_shape)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def time_layer(module: nn.Module, inputs: Tensor) -> float:
    """Milliseconds of one call, the least of several: what else the machine does only adds."""
    timer = Timer(
        'module(inputs)',
        globals={'module': module, 'inputs': inputs},
        timer=undisturbed_clock(inputs.device),
        num_threads=torch.get_num_threads(),
    )
    with evaluating(module):
        return 1000 * min(timer.blocked_autorange(min_run_time=MIN_RUN_TIME).times)


def device_name(device: torch.device) -> str:
    """The device in words that tell two machines apart: processor, threads, PyTorch."""
    if device.type == 'cuda':
        return f'{torch.cuda.get_device_name(device)}, torch {torch.__version__}'
    cpu = hardware()['cpu'] if device.type == 'cpu' else str(device)
    return f'{cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}'


def widths(smallest: int, largest: int, points: int = 4) -> list[int]:
    """A grid of widths, evenly spaced, both ends included; fewer where they would coincide."""
    return sorted({round(value) for value in np.linspace(smallest, largest, points)})


class LatencyTable:
    """Times by layer shape and widths; see the module's docstring.

    Args:
        device: what they were measured on, in words.
        path: the file to keep them in, or ``None``.

    Attributes:
        anchors: whole detectors that were measured, and what the table says of them.
        wholes: (channels of the groups, milliseconds) of whole detectors whose anchors are not
            worked out yet.
        alone: why there are no whole detectors; '' if there are, or none was tried.
    """

    def __init__(self, device: str, path: Path | None = None) -> None:
        self.device = device
        self.path = path
        self.anchors: list[dict[str, float]] = []
        self.wholes: list[tuple[tuple[int, ...], float]] = []
        self.alone = ''
        self._layers: dict[str, dict[str, Any]] = {}
        self._known: dict[tuple[str, int, int], float] = {}

    @classmethod
    def read(cls, path: Path) -> 'LatencyTable':
        """Read a table.

        Raises:
            CompressionError: there is no such file, or it is no table.
        """
        try:
            data = json.loads(path.read_text(encoding='utf-8'))
            if data['version'] != VERSION:
                raise ValueError(f'version {data["version"]}, this package reads {VERSION}')
            table = cls(data['device'], path)
            table.anchors = [dict(anchor) for anchor in data['anchors']]
            table.alone = str(data.get('alone', ''))
            for key, layer in data['layers'].items():
                shape = np.array(layer['ms'], dtype=float).shape
                if shape != (len(layer['in']), len(layer['out'])):
                    raise ValueError(f'{key} has {shape} times')
                table._layers[key] = layer
            return table
        except OSError as error:
            raise CompressionError(f'{path}: the latency table cannot be read: {error}') from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CompressionError(
                f'{path}: is no latency table ({error}). Delete it to have it measured anew, or '
                f'name a {LATENCY_TABLE} of a run with a latency target'
            ) from error

    def write(self) -> None:
        """Write the file, if it has one."""
        if self.path is not None:
            data = dict(version=VERSION, device=self.device, anchors=self.anchors)
            if self.alone:
                data['alone'] = self.alone
            write_json(self.path, {**data, 'layers': self._layers})

    def has(self, shape: LayerShape, ins: Sequence[int], outs: Sequence[int]) -> bool:
        """Whether a layer's times are known over these widths, from the least to the largest."""
        layer = self._layers.get(str(shape))
        return layer is not None and all(
            known[0] <= min(asked) and max(asked) <= known[-1]
            for known, asked in ((layer['in'], ins), (layer['out'], outs))
        )

    def measure(
        self,
        shape: LayerShape,
        ins: Sequence[int],
        outs: Sequence[int],
        device: torch.device,
        timer: TimeLayer = time_layer,
    ) -> None:
        """Time a layer at every pair of widths, and write the file.

        Args:
            shape: the layer.
            ins: input widths, rising; ``[1]`` for a convolution that loses whole groups.
            outs: output widths, rising.
            device: where.
            timer: times one call.
        """
        generator = torch.Generator().manual_seed(0)
        times = np.empty((len(ins), len(outs)))
        for (row, column), _ in np.ndenumerate(times):
            module, size = shape.build(ins[row], outs[column])
            inputs = torch.randn(size, generator=generator).to(device)
            times[row, column] = timer(module.to(device).eval(), inputs)
        self.put(str(shape), ins, outs, times)
        self.write()

    def put(self, key: str, ins: Sequence[int], outs: Sequence[int], times: np.ndarray) -> None:
        """Take the times of a layer.

        Args:
            key: the layer in words, ``str(LayerShape)``.
            ins: input widths, rising.
            outs: output widths, rising.
            times: milliseconds, (inputs, outputs).
        """
        # A narrower layer takes no longer: where it seems to, something else was running.
        for axis in (0, 1):
            times = np.flip(np.minimum.accumulate(np.flip(times, axis), axis), axis)
        self._layers[key] = {'in': list(ins), 'out': list(outs), 'ms': times.tolist()}
        self._known.clear()

    def ms(self, shape: LayerShape, ins: float, outs: float) -> float:
        """Milliseconds of one call at given widths, interpolated between the measured ones.

        Raises:
            CompressionError: the table lacks the layer.
        """
        key = (str(shape), ins, outs)
        if key not in self._known:
            layer = self._layers.get(key[0])
            if layer is None:
                raise CompressionError(
                    f'{self.path or "the latency table"} has no times of {shape}'
                )
            rows = [np.interp(outs, layer['out'], row) for row in layer['ms']]
            self._known[key] = float(np.interp(ins, layer['in'], rows))
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        """The layers, in words."""
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)
