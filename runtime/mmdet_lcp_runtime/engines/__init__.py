"""The engines, a file each; none is imported before its file is opened."""

import importlib
import os
from pathlib import Path

from mmdet_lcp_runtime.engines.base import Engine
from mmdet_lcp_runtime.errors import DetectionError

# By name: the suffix of its files. The module of that name here has a class `Opened`.
ENGINES = {
    'onnxruntime': '.onnx',
    'openvino': '.xml',
    'ncnn': '.param',
    'mnn': '.mnn',
    'litert': '.tflite',
    'rknn': '.rknn',
}


def open_engine(path: str | os.PathLike, engine: str | None, threads: int | None) -> Engine:
    """Open a file.

    Args:
        path: the file; its suffix says which engine.
        engine: another one, by name.
        threads: of the CPU, or None.

    Raises:
        DetectionError: there is no such file or engine, the engine is not installed or refuses
            the file.
    """
    path = Path(path)
    if not path.is_file():
        raise DetectionError(f'{path}: there is no such file')
    if engine is None:
        engine = next((name for name, own in ENGINES.items() if path.suffix == own), None)
    if engine not in ENGINES:
        raise DetectionError(
            f'{path}: no engine for it; known are '
            + ', '.join(f'{name} (*{suffix})' for name, suffix in ENGINES.items())
        )
    module = importlib.import_module(f'mmdet_lcp_runtime.engines.{engine}')
    try:
        return module.Opened(path, threads)
    except DetectionError:
        raise
    except Exception as error:  # each engine has its own classes for a damaged file
        reason = ' '.join(str(error).split())
        raise DetectionError(f'{path}: {engine} cannot open it ({reason:.300})') from error


__all__ = ['ENGINES', 'Engine', 'open_engine']
