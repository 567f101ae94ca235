"""Stand-ins of Rockchip's two packages, which run nowhere in a test.

They do what rknn-toolkit2 2.5.0 was seen to do on the same calls: images come as (1, H, W, C), RGB
or whatever order the file wants, are normalised by the numbers of `config`, and go through the
ONNX file; results are float32 in the order of its outputs. What a call gets is written down.
"""

import os
import sys
from types import ModuleType
from typing import ClassVar

import numpy as np
import onnxruntime


class Toolkit:
    """``RKNN`` and, with `load_rknn`, ``RKNNLite``."""

    refused = ''  # a step that fails
    said = ''  # printed while building
    shift = 0.0  # added to all results
    calls: ClassVar[list] = []

    def __init__(self, verbose: bool = False) -> None:
        self.calls.append(('made', {}))

    def config(self, **keys) -> None:
        self.calls.append(('config', keys))
        self.mean, self.std = (np.float32(keys[key][0]) for key in ('mean_values', 'std_values'))

    def load_onnx(self, model: str) -> int:
        self.model = model
        return self._step('load_onnx')

    def build(self, do_quantization: bool, dataset: str | None) -> int:
        arrays = []
        if do_quantization:
            with open(dataset, encoding='utf-8') as file:
                arrays = [
                    np.load(os.path.join(os.path.dirname(dataset), *line.split())) for line in file
                ]
        self.calls.append(('build', dict(arrays=arrays)))
        print(self.said)
        return self._step('build')

    def export_rknn(self, path: str) -> int:
        """The numbers and the network, so that `load_rknn` can read them again."""
        with open(self.model, 'rb') as file:
            np.savez(path, mean=self.mean, std=self.std, network=np.frombuffer(file.read(), 'u1'))
        os.replace(f'{path}.npz', path)
        return self._step('export_rknn')

    def load_rknn(self, path: str) -> int:
        with np.load(path) as found:
            self.mean, self.std = found['mean'], found['std']
            self.model = found['network'].tobytes()
        return self._step('load_rknn')

    def init_runtime(self) -> int:
        self.session = onnxruntime.InferenceSession(self.model)
        return self._step('init_runtime')

    def inference(self, inputs: list, data_format: str) -> list | None:
        (image,) = inputs
        assert data_format == 'nhwc' and image.dtype == np.uint8 and image.ndim == 4
        if self.refused == 'inference':
            return None
        planes = ((image - self.mean) / self.std).transpose(0, 3, 1, 2).astype(np.float32)
        found = self.session.run(None, {self.session.get_inputs()[0].name: planes})
        return [value + np.float32(self.shift) for value in found]

    def release(self) -> None:
        self.calls.append(('release', {}))

    def _step(self, name: str) -> int:
        if self.refused == name:
            if name == 'build':  # the toolkit leaves such files where it fails
                open('check0_base_optimize.onnx', 'w').close()
            print(f'E {name}: not like this')
            return -1
        return 0


def install(monkeypatch) -> type[Toolkit]:
    """Both packages import; returns the class, new for each test."""
    made = type('Toolkit', (Toolkit,), dict(calls=[]))
    for package, name in (('rknn', 'RKNN'), ('rknnlite', 'RKNNLite')):
        api = ModuleType(f'{package}.api')
        setattr(api, name, made)
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
        monkeypatch.setitem(sys.modules, f'{package}.api', api)
    return made
