"""ONNX Runtime, on the CPU."""

import os
from collections.abc import Sequence

import numpy as np

from mmdet_lcp_runtime.engines.base import Engine
from mmdet_lcp_runtime.metadata import KEY
from mmdet_lcp_runtime.needs import needed


class Opened(Engine):
    """A session of an ONNX file."""

    def __init__(self, path: str | os.PathLike, threads: int | None) -> None:
        runtime = needed('onnxruntime')
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0 is its own choice
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers = ['CPUExecutionProvider']
        self._session = runtime.InferenceSession(str(path), options, providers=providers)
        self._names = [output.name for output in self._session.get_outputs()]
        self.description = self._session.get_modelmeta().custom_metadata_map.get(KEY)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute."""
        return dict(zip(self._names, self._session.run(None, inputs), strict=True))

    def outputs(self, wanted: Sequence[str]) -> list[str]:
        """Names of the graph's outputs."""
        return self._names
