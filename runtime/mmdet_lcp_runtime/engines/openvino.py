"""OpenVINO, on the CPU, in float32.

Without being told so it computes in bfloat16 on CPUs that have it, which moves boxes by tenths of
a pixel, and only there.
"""

import os
from collections.abc import Sequence

import numpy as np

from mmdet_lcp_runtime.engines.base import Engine
from mmdet_lcp_runtime.needs import needed


class Opened(Engine):
    """A compiled model."""

    def __init__(self, path: str | os.PathLike, threads: int | None) -> None:
        openvino = needed('openvino')
        options = {'INFERENCE_PRECISION_HINT': 'f32', 'PERFORMANCE_HINT': 'LATENCY'}
        if threads is not None:
            options['INFERENCE_NUM_THREADS'] = threads
        self._model = openvino.Core().compile_model(str(path), 'CPU', options)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute; a tensor may have several names, and is given under each."""
        (value,) = inputs.values()
        found = self._model([value])
        return {name: np.array(found[out]) for out in self._model.outputs for name in out.names}

    def outputs(self, wanted: Sequence[str]) -> list[str]:
        """Every name of every output."""
        return [name for out in self._model.outputs for name in out.names]
