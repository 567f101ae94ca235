"""ncnn, on the CPU, in float32: ``detector.ncnn.param`` with ``detector.ncnn.bin`` beside it.

It takes one image at a time, without a batch axis. pnnx, which makes such files, calls inputs
``in0`` and outputs ``out0``, ``out1``, ...: they get the names of the description back by order.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmdet_lcp_runtime.engines.base import Engine
from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.needs import needed


class Opened(Engine):
    """A net."""

    batches = False

    def __init__(self, path: str | os.PathLike, threads: int | None) -> None:
        self._ncnn = needed('ncnn')
        weights = Path(path).with_suffix('.bin')
        if not weights.is_file():
            raise DetectionError(f'{path}: its weights {weights.name} do not lie beside it')
        self._net = self._ncnn.Net()
        if threads is not None:
            self._net.opt.num_threads = threads
        for key in ('use_fp16_packed', 'use_fp16_storage', 'use_fp16_arithmetic'):
            setattr(self._net.opt, key, False)
        if self._net.load_param(str(path)) or self._net.load_model(str(weights)):
            raise DetectionError(
                f'{path}: ncnn cannot load it: it has operators that ncnn lacks, or is damaged'
            )
        self._found = sorted(self._net.output_names(), key=lambda name: int(name[3:]))
        self._names = self._found

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute, image by image."""
        (batch,) = inputs.values()
        rows = [self._one(np.ascontiguousarray(image)) for image in batch]
        columns = zip(*rows, strict=True)
        return {name: np.stack(own) for name, own in zip(self._names, columns, strict=True)}

    def outputs(self, wanted: Sequence[str]) -> list[str]:
        """The description's names, if there are as many."""
        if len(wanted) == len(self._found):
            self._names = list(wanted)
        return self._names

    def _one(self, image: np.ndarray) -> list[np.ndarray]:
        extractor = self._net.create_extractor()
        extractor.input(self._net.input_names()[0], self._ncnn.Mat(image))
        found = []
        for name in self._found:
            failed, value = extractor.extract(name)
            if failed:
                raise DetectionError(
                    f'ncnn cannot compute {name} ({failed}): a layer does not fit its input, or '
                    'memory is short'
                )
            value = np.array(value)
            while value.ndim > 2 and value.shape[0] == 1:  # axes that pnnx has left over
                value = value[0]
            found.append(value)
        return found
