"""MNN, on the CPU, in float32.

Its large Winograd tiles lose digits: of a tiny RetinaNet boxes moved by 0.24 pixels and scores by
3e-4, with the smallest tiles by 0.004 and 4e-6. The smallest are taken. Its NMS looks at the first
image of a batch alone, so that images run one by one.
"""

import os
from collections.abc import Sequence

import numpy as np

from mmdet_lcp_runtime.engines.base import Engine
from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.needs import needed

WINOGRAD_MEMORY_LEVEL = 3  # number of MNN's hint; Python has no name for it


class Opened(Engine):
    """A module, loaded when the names of its outputs are known: MNN does not tell them before."""

    batches = False

    def __init__(self, path: str | os.PathLike, threads: int | None) -> None:
        self._mnn = needed('MNN')
        self._path = str(path)
        settings = {'backend': 'CPU', 'precision': 'high', 'numThread': threads or 4}
        self._manager = self._mnn.nn.create_runtime_manager((settings,))
        self._manager.set_hint(WINOGRAD_MEMORY_LEVEL, 0)
        self._net = None

    def outputs(self, wanted: Sequence[str]) -> list[str]:
        """Load; MNN refuses names that the file does not have."""
        self._names = list(wanted)
        self._net = self._mnn.nn.load_module_from_file(
            self._path, [], self._names, runtime_manager=self._manager
        )
        if self._net is None:
            raise DetectionError(f'{self._path}: MNN cannot load it: damaged, or not MNN')
        return self._names

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute. Whatever the layout is, MNN takes the axes as given if it is told NCHW."""
        expr = self._mnn.expr
        (value,) = inputs.values()
        kind = expr.uint8 if value.dtype == np.uint8 else expr.float
        image = expr.placeholder(list(value.shape), expr.NCHW, kind)
        image.write(value)
        found = self._net.onForward([image])
        if len(found) != len(self._names):
            raise DetectionError(f'{self._path}: MNN cannot run it on an input {value.shape}')
        made = {}
        for name, out in zip(self._names, found, strict=True):
            if len(out.shape) == 4:  # it may lie in memory in blocks of channels
                out = expr.convert(out, expr.NCHW)
            made[name] = np.array(out.read())
        return made
