"""Write a detector's network as an ONNX file: images in, the head's raw outputs out.

What comes behind (decoding, NMS) stays with mmdet, see `onnx_detector`.
"""

import inspect
import os
import warnings

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.needs import needed
from mmdet_lcp.files import atomic_path
from mmdet_lcp.graph.forward import is_two_stage
from mmdet_lcp.modes import in_eval

INPUT = 'images'
OPSET = 17


class _Flat(nn.Module):
    """ONNX knows no nested outputs."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(tree_leaves(self.detector(images, mode='tensor')))


def export_onnx(detector: nn.Module, image_size: tuple[int, int], path: str | os.PathLike) -> None:
    """Write ``mode='tensor'`` of a detector as an ONNX file.

    Its input ``images`` is (N, 3, H, W), float32, preprocessed; all but the channels may have any
    size that the detector takes. Its outputs ``output_0``, ... are the leaves of what the detector
    gives, in their order.

    Args:
        detector: a plain single-stage mmdet detector; left as it is.
        image_size: (height, width) in pixels of the image that is traced.
        path: the file.

    Raises:
        CompressionError: onnx is not installed, or the detector cannot be exported.
    """
    needed('onnx')
    if is_two_stage(detector):
        raise CompressionError(
            f'{type(detector).__name__} has two stages: the regions between them are chosen by '
            'operators that ONNX does not have. Single-stage detectors can be exported'
        )
    example = next(detector.parameters()).new_zeros(1, 3, *image_size)
    flat = _Flat(detector)
    options = (
        {'dynamo': False} if 'dynamo' in inspect.signature(torch.onnx.export).parameters else {}
    )
    with in_eval(flat), torch.no_grad(), atomic_path(path) as temporary:
        names = [f'output_{number}' for number in range(len(flat(example)))]
        axes = {name: {0: 'n'} for name in names}
        axes[INPUT] = {0: 'n', 2: 'height', 3: 'width'}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # the tracer's, about shapes that are constant
                torch.onnx.export(
                    flat,
                    (example,),
                    str(temporary),
                    input_names=[INPUT],
                    output_names=names,
                    dynamic_axes=axes,
                    opset_version=OPSET,
                    **options,
                )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            raise CompressionError(
                f'{type(detector).__name__} cannot be exported: {error!s:.500}'
            ) from error
