"""OpenVINO's own reader of ONNX; weights stay in float32, which `save_model` would halve."""

import os
import warnings
from pathlib import Path
from typing import Any

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.convert.openvino_deform_conv import extension
from mmdet_lcp.export.needs import needed

PACKAGE = 'openvino'
NEEDS = ('openvino',)
TAKES = {}


def check(description: dict) -> None:
    """It takes every form, and reads NMS and TopK."""


def read_onnx(source: str | os.PathLike) -> Any:
    """OpenVINO's model of an ONNX file, deformable convolutions too."""
    return needed('openvino', 'openvino').convert_model(str(source), extension=[extension()])


def write(source: Path, target: Path, description: dict, module: nn.Module | None = None) -> None:
    """Write ``target`` (``*.xml``) and its weights beside it (``*.bin``).

    Raises:
        CompressionError: OpenVINO is not installed, or cannot read the file.
    """
    openvino = needed('openvino', 'openvino')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            model = read_onnx(source)
            openvino.save_model(model, str(target), compress_to_fp16=False)
    except Exception as error:  # its own classes
        raise CompressionError(
            f'{source}: OpenVINO cannot convert it ({" ".join(str(error).split()):.300})'
        ) from error
