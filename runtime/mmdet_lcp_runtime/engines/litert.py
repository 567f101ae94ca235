"""LiteRT (TensorFlow Lite), on the CPU."""

import os
from collections.abc import Sequence

import numpy as np

from mmdet_lcp_runtime.engines.base import Engine
from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.needs import needed


class Opened(Engine):
    """An interpreter of a file with one signature."""

    batches = False

    def __init__(self, path: str | os.PathLike, threads: int | None) -> None:
        interpreter = needed('ai_edge_litert.interpreter').Interpreter
        self._interpreter = interpreter(model_path=str(path), num_threads=threads)
        signatures = self._interpreter.get_signature_list()
        if not signatures:
            raise DetectionError(f'{path}: has no signature: not by `mmdet-lcp export`')
        key = next(iter(signatures))
        self._runner = self._interpreter.get_signature_runner(key)
        (self._input,) = signatures[key]['inputs']
        # litert-torch calls outputs output_0, output_1, ...
        self._found = sorted(signatures[key]['outputs'], key=lambda name: (len(name), name))
        self._names = self._found

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute, in batches of the file's size."""
        (value,) = inputs.values()
        found = self._runner(**{self._input: value})
        pairs = zip(self._names, self._found, strict=True)
        return {name: np.array(found[own]) for name, own in pairs}

    def outputs(self, wanted: Sequence[str]) -> list[str]:
        """The description's names, if there are as many and the file has not kept them."""
        if len(wanted) == len(self._found) and set(wanted) != set(self._found):
            self._names = list(wanted)
        return self._names
