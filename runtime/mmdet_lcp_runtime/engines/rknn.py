"""Rockchip's NPUs, on the board: ``detector.rknn``.

``mmdet-lcp-rknn`` writes it on a PC, together with ``detector.decode.onnx``, which makes boxes of
the network's maps on the CPU, and ``detector.rknn.json``. The network subtracts mean and divides
by std itself.
"""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mmdet_lcp_runtime.engines.base import Engine
from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.needs import needed

DECODE = '.decode.onnx'


class Loaded(Engine):
    """A network that is ready, on the board or in a PC's simulator, and its decoding.

    Args:
        net: ``RKNNLite`` or ``RKNN``, after ``init_runtime``.
        decode: the file of the decoding.
    """

    batches = False

    def __init__(self, net: Any, decode: str | os.PathLike) -> None:
        self._net = net
        self._decode = needed('onnxruntime').InferenceSession(
            str(decode), providers=['CPUExecutionProvider']
        )
        self._maps = [value.name for value in self._decode.get_inputs()]
        self._names = [value.name for value in self._decode.get_outputs()]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute, image by image."""
        (batch,) = inputs.values()
        rows = []
        for image in batch:
            maps = self._net.inference(inputs=[image[None]], data_format='nhwc')
            if maps is None or len(maps) != len(self._maps):
                raise DetectionError(
                    f'the NPU gave no result for an input {image.shape}; its own lines say why'
                )
            maps = [np.asarray(each, np.float32) for each in maps]
            rows.append(self._decode.run(None, dict(zip(self._maps, maps, strict=True))))
        columns = zip(*rows, strict=True)
        return {name: np.concatenate(own) for name, own in zip(self._names, columns, strict=True)}

    def outputs(self, wanted: Sequence[str]) -> list[str]:
        """Those of the decoding."""
        return self._names


class Opened(Loaded):
    """A file, on the cores of the board's NPU that are free."""

    def __init__(self, path: str | os.PathLike, threads: int | None) -> None:
        if threads is not None:
            raise DetectionError(f'{path}: runs on an NPU, which has no threads: leave them out')
        decode = Path(path).with_suffix(DECODE)
        if not decode.is_file():
            raise DetectionError(f'{path}: {decode.name} does not lie beside it: copy both')
        net = _board_package(path).RKNNLite()
        if net.load_rknn(str(path)) or net.init_runtime():
            raise DetectionError(
                f'{path}: the NPU does not take it; the lines above, which are its own, say why. '
                'Was it written for this chip (mmdet-lcp-rknn --platform)? Is the librknnrt.so of '
                'this board as new as the rknn-toolkit2 that wrote it?'
            )
        super().__init__(net, decode)


def _board_package(path: str | os.PathLike) -> ModuleType:
    try:
        return needed('rknnlite.api')
    except DetectionError as error:
        if platform.machine() == 'aarch64':
            raise
        raise DetectionError(
            f'{path}: runs on a board with the NPU, and this is none ({platform.machine()}). On a '
            'PC `mmdet-lcp-rknn` compares it with the ONNX file as it writes it'
        ) from error
