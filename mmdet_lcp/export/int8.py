"""Static quantisation of an ONNX file to eight-bit integers, by ONNX Runtime.

Weights and activations become integers with a scale each (a scale a channel for weights), the
activations' ranges being those on calibration images. ONNX Runtime has integer kernels for that on
CPUs, which it has not for fewer bits.
"""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.needs import needed
from mmdet_lcp.export.onnx_file import INPUT
from mmdet_lcp.files import atomic_path

# ONNX Runtime's 'entropy' is left out: with the numbers of bins that `quantize_static` gives it,
# it has nothing to choose from and ends with the ranges of 'minmax'.
METHODS = {'minmax': 'MinMax', 'percentile': 'Percentile'}  # by its name there


class _Reader:
    """What ONNX Runtime reads calibration images through."""

    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self._images: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT: image}

    def __iter__(self) -> '_Reader':
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        found = self.get_next()
        if found is None:
            raise StopIteration
        return found


def quantize_int8(
    source: str | os.PathLike,
    target: str | os.PathLike,
    images: Sequence[np.ndarray],
    method: str = 'minmax',
    keep: str | None = None,
) -> None:
    """Quantise an ONNX file of `export_onnx`.

    Args:
        source: the file in full precision.
        target: the file to write.
        images: preprocessed, float32, (N, 3, H, W) each; at least one.
        method: how ranges follow from the activations: ``'minmax'``, or ``'percentile'``, which
            leaves out what is rare, for images of one shape.
        keep: regular expression, searched in the names of the nodes: those stay as they are.

    Raises:
        CompressionError: onnxruntime is not installed, or an argument does not fit.
    """
    onnx = needed('onnx')
    quantization = needed('onnxruntime.quantization')
    preprocess = needed('onnxruntime.quantization.shape_inference').quant_pre_process
    if method not in METHODS:
        raise CompressionError(f'method={method!r}: use one of {", ".join(METHODS)}')
    if not images:
        raise CompressionError('int8 needs at least one image to calibrate on')
    shapes = sorted({image.shape for image in images})
    if method == 'percentile' and len(shapes) > 1:
        raise CompressionError(
            f"method='percentile' needs images of one shape, these have {len(shapes)}, such as "
            f"{shapes[0]} and {shapes[-1]}: use 'minmax', or one size for all in the test pipeline"
        )
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, 'prepared.onnx')
        preprocess(str(source), str(prepared), skip_symbolic_shape=True)
        nodes = [node.name for node in onnx.load(str(prepared)).graph.node]
        kept = [name for name in nodes if keep and re.search(keep, name)]
        if keep and not kept:
            raise CompressionError(
                f'keep={keep!r} matches none of the {len(nodes)} nodes, such as {nodes[0]}'
            )
        with atomic_path(target) as temporary:
            quantization.quantize_static(
                str(prepared),
                str(temporary),
                _Reader(images),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=kept,
                calibrate_method=quantization.CalibrationMethod[METHODS[method]],
            )
