"""LiteRT (TensorFlow Lite) through litert-torch, which reads PyTorch modules, not ONNX.

It brings jax and pins of its own: give it an environment of its own, with mmdet beside it.
"""

import contextlib
import io
import warnings
from pathlib import Path

import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.needs import needed

PACKAGE = 'litert-torch'
NEEDS = ('litert_torch',)
TAKES = {'form': 'decoded', 'batch': 1}


def check(description: dict) -> None:
    """Refuse before anything is run what cannot come out right.

    Raises:
        CompressionError: see above.
    """
    if description['form'] != 'decoded' or description['input']['batch'] is None:
        raise CompressionError(
            'LiteRT has no NMS and no free batch: export the detector decoded, with a batch '
            '(--decoded --batch 1), and convert that; the runtime does the rest'
        )


def write(source: Path, target: Path, description: dict, module: nn.Module | None = None) -> None:
    """Write ``target`` (``*.tflite``).

    Raises:
        CompressionError: litert-torch is not installed, or cannot convert the module.
    """
    if module is None:
        raise CompressionError('LiteRT is made from the detector, not from ONNX: pass `module`')
    converter = needed('litert_torch', 'litert')
    given = description['input']
    size = (given['height'], given['width'])
    shape = (*size, given['channels']) if given['layout'] == 'NHWC' else (given['channels'], *size)
    dtype = torch.uint8 if given['dtype'] == 'uint8' else torch.float32
    example = torch.zeros(given['batch'], *shape, dtype=dtype)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter('ignore')
            module(example)  # constants that a module keeps are made outside of the trace
            converter.convert(module, (example,)).export(str(target))
    except Exception as error:  # torch.export's and the converter's own classes
        raise CompressionError(
            f'litert-torch cannot convert it ({" ".join(str(error).split()):.400})'
        ) from error
