"""Tensors as bit patterns: what is coded are integers, so that every bit comes back.

-0.0, denormals and infinities are patterns like any other. The pattern 0 is the zero that a sparse
tensor leaves out; -0.0 is another pattern and is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmdet_lcp.errors import CompressionError


@dataclass(frozen=True)
class ElementType:
    """How the elements of a tensor are written.

    Args:
        dtype: the tensor's.
        carrier: the integer type of PyTorch's that has the same size.
        pattern: the unsigned, little-endian NumPy type of the patterns.
    """

    dtype: torch.dtype
    carrier: torch.dtype
    pattern: np.dtype


def _element_types() -> dict[str, ElementType]:
    carriers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    floats = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    integers = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
    return {
        str(dtype).removeprefix('torch.'): ElementType(
            dtype, carriers[dtype.itemsize], np.dtype(f'<u{dtype.itemsize}')
        )
        for dtype in floats + integers
    }


ELEMENT_TYPES = _element_types()


def dtype_name(tensor: Tensor) -> str:
    """The name under which a tensor's type is written.

    Raises:
        CompressionError: tensors of this kind cannot be packed.
    """
    name = str(tensor.dtype).removeprefix('torch.')
    plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
    if name not in ELEMENT_TYPES or not plain:
        kind = f'{name}, {tensor.layout}' if not tensor.is_meta else f'{name} without data'
        raise CompressionError(
            f'a tensor of this kind cannot be packed ({kind}): take a dense one of '
            f'{", ".join(ELEMENT_TYPES)}'
        )
    return name


def to_patterns(tensor: Tensor) -> np.ndarray:
    """The elements as unsigned integers, in C order.

    Args:
        tensor: any shape, any device.

    Returns:
        One dimension; shares memory with a contiguous tensor on the CPU.

    Raises:
        CompressionError: the tensor holds NaN, or is of a type that cannot be packed.
    """
    kind = ELEMENT_TYPES[dtype_name(tensor)]
    tensor = tensor.detach().cpu().contiguous().reshape(-1)
    if tensor.is_floating_point():
        bad = int(torch.isnan(tensor).sum())
        if bad:
            raise CompressionError(
                f'{bad} of {tensor.numel()} values are NaN: a detector with NaN is broken and is '
                'not packed; take an earlier checkpoint'
            )
    return tensor.view(kind.carrier).numpy().view(kind.pattern)


def from_patterns(patterns: np.ndarray, dtype: str, shape: Sequence[int]) -> Tensor:
    """The tensor with these patterns.

    Args:
        patterns: one dimension, of the dtype's pattern type; writable, and owned by the tensor
            from now on.
        dtype: a name of `ELEMENT_TYPES`.
        shape: of the tensor; as many elements as there are patterns.

    Raises:
        CompressionError: a boolean is neither 0 nor 1.
    """
    kind = ELEMENT_TYPES[dtype]
    if dtype == 'bool' and patterns.size and patterns.max() > 1:
        raise CompressionError('a boolean is neither 0 nor 1: the file is damaged')
    signed = kind.pattern if kind.pattern.itemsize == 1 else f'<i{kind.pattern.itemsize}'
    return torch.from_numpy(patterns.view(signed)).view(kind.dtype).reshape(tuple(shape))
