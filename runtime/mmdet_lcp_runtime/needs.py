"""Packages that are not required, imported when they are needed."""

import importlib
from types import ModuleType

from mmdet_lcp_runtime.errors import DetectionError

# By import name: the extra of this package that brings it.
EXTRAS = {
    'onnxruntime': 'onnxruntime',
    'openvino': 'openvino',
    'ncnn': 'ncnn',
    'MNN': 'mnn',
    'ai_edge_litert.interpreter': 'litert',
    'rknnlite.api': 'rknn',
    'rknn.api': 'to-rknn',
    'onnx': 'to-rknn',
    'PIL': 'images',
}


def needed(name: str) -> ModuleType:
    """Import a package of an extra.

    Raises:
        DetectionError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        extra = EXTRAS[name]
        raise DetectionError(
            f'this needs the package {name.split(".")[0]}, which is not installed: '
            f"pip install 'mmdet-lcp-runtime[{extra}]' ({error})"
        ) from error


def found(*names: str) -> ModuleType | None:
    """The first of some packages that is installed, or None."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
