"""What the tests of the converters share."""

import numpy as np
import pytest


def installed(target: str) -> None:
    packages = {
        'openvino': ['openvino'],
        'ncnn': ['ncnn', 'pnnx'],
        'mnn': ['MNN'],
        'litert': ['litert_torch'],
    }
    for name in packages[target]:
        pytest.importorskip(name)


def painted() -> np.ndarray:
    image = np.zeros((64, 64, 3), np.uint8)
    image[8:16, 16:24, 2] = 255
    image[48:56, 40:48, 0] = 255
    return image
