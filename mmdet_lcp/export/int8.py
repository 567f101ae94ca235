"""Static quantisation of an ONNX file to eight-bit integers, by ONNX Runtime.

Weights and activations become integers with a scale each, the activations' ranges being those on
calibration images. ONNX Runtime has integer kernels for that on CPUs, which it has not for fewer
bits. Activations are unsigned, for which its kernels are faster.

How weights are scaled is the `scheme`; which of them is best depends on the CPU: without VNNI the
products of two eight-bit pairs are added in 16 bits, which can overflow. `int8_choice` measures.
"""

import inspect
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.int8_keep import named_nodes
from mmdet_lcp.export.int8_network import Network, network_of
from mmdet_lcp.export.needs import needed
from mmdet_lcp.files import atomic_path

# ONNX Runtime's 'entropy' is left out: with the numbers of bins that `quantize_static` gives it,
# it has nothing to choose from and ends with the ranges of 'minmax'.
METHODS = {'minmax': 'MinMax', 'percentile': 'Percentile'}  # by its name there
SCHEMES = {
    'per-channel': dict(per_channel=True, reduce_range=False),
    'per-tensor': dict(per_channel=False, reduce_range=False),
    'per-channel, reduced range': dict(per_channel=True, reduce_range=True),  # 7-bit weights
}


class _Reader:
    """What ONNX Runtime reads calibration images through."""

    def __init__(self, name: str, images: Iterable[np.ndarray]) -> None:
        self._name = name
        self._images: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {self._name: image}

    def __iter__(self) -> '_Reader':
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        found = self.get_next()
        if found is None:
            raise StopIteration
        return found


class Quantizer:
    """A file in full precision, made ready once, to be written in several ways.

    Args:
        source: the file in full precision.
        images: as the file takes them, (N, ...) each; at least one.
        method: one of `METHODS`.

    Attributes:
        network: of its graph.
        names: of all its nodes.
        prepared: path of the file in full precision that is quantised, there until the end of the
            `with`: ONNX Runtime may have fused nodes of `source` in it, so that tensors of
            `network` need not be in `source`.

    Raises:
        CompressionError: onnxruntime is not installed, or an argument does not fit.
    """

    def __init__(
        self, source: str | os.PathLike, images: Sequence[np.ndarray], method: str = 'minmax'
    ) -> None:
        onnx = needed('onnx')
        self._quantization = needed('onnxruntime.quantization')
        preprocess = needed('onnxruntime.quantization.shape_inference').quant_pre_process
        _check(images, method)
        self._images, self._method = images, method
        self._folder = tempfile.TemporaryDirectory()
        self.prepared = Path(self._folder.name, 'prepared.onnx')
        preprocess(str(source), str(self.prepared), skip_symbolic_shape=True)
        model = onnx.load(str(self.prepared))
        for number, node in enumerate(model.graph.node):
            node.name = node.name or f'{node.op_type}_{number}'
        onnx.save(model, str(self.prepared))
        self._input = model.graph.input[0].name
        self.names = [node.name for node in model.graph.node]
        self.network: Network = network_of(model)

    def __enter__(self) -> 'Quantizer':
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()

    def write(
        self, target: str | os.PathLike, scheme: str = 'per-channel', kept: Iterable[str] = ()
    ) -> None:
        """Write the file in eight bits.

        Args:
            target: where.
            scheme: one of `SCHEMES`.
            kept: nodes that stay as they are; what is not of the network does anyway.
        """
        quantize, kinds = self._quantization.quantize_static, self._quantization.QuantType
        kept = set(kept)
        stay = [each for each in self.names if each in kept or each not in self.network.nodes]
        keys = {}
        if 'calibration_cache_path' in inspect.signature(quantize).parameters:
            keys['calibration_cache_path'] = Path(self._folder.name, 'ranges.json')
        with atomic_path(target) as temporary:
            quantize(
                str(self.prepared),
                str(temporary),
                _Reader(self._input, self._images),
                quant_format=self._quantization.QuantFormat.QDQ,
                activation_type=kinds.QUInt8,
                weight_type=kinds.QInt8,
                nodes_to_exclude=stay,
                calibrate_method=self._quantization.CalibrationMethod[METHODS[self._method]],
                **SCHEMES[scheme],
                **keys,
            )


def quantize_int8(
    source: str | os.PathLike,
    target: str | os.PathLike,
    images: Sequence[np.ndarray],
    method: str = 'minmax',
    keep: str | None = None,
    scheme: str = 'per-channel',
) -> None:
    """Quantise an exported ONNX file.

    Args:
        source: the file in full precision.
        target: the file to write.
        images: as the file takes them, (N, ...) each; at least one.
        method: how ranges follow from the activations: ``'minmax'``, or ``'percentile'``, which
            leaves out what is rare, for images of one shape.
        keep: what stays as it is: nodes in whose names a regular expression is found, or
            ``'heads'``.
        scheme: one of `SCHEMES`.

    Raises:
        CompressionError: onnxruntime is not installed, or an argument does not fit.
    """
    if scheme not in SCHEMES:
        raise CompressionError(f'scheme={scheme!r}: use one of {"; ".join(SCHEMES)}')
    with Quantizer(source, images, method) as quantizer:
        kept = named_nodes(keep, quantizer.names, quantizer.network)
        quantizer.write(target, scheme, kept)


def _check(images: Sequence[np.ndarray], method: str) -> None:
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
