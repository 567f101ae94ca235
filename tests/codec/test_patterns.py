import numpy as np
import pytest
import torch

from mmdet_lcp.codec.patterns import from_patterns, to_patterns
from mmdet_lcp.errors import CompressionError


def test_float32_patterns_are_ieee_754():
    tensor = torch.tensor([[1.0, -0.0], [float('inf'), 1e-45]])
    assert to_patterns(tensor).tolist() == [0x3F800000, 0x80000000, 0x7F800000, 1]


def test_bfloat16_is_the_upper_half_of_float32():
    patterns = to_patterns(torch.tensor([1.5, -2.0], dtype=torch.bfloat16))
    assert (patterns.dtype, patterns.tolist()) == (np.uint16, [0x3FC0, 0xC000])


def test_order_of_what_is_not_contiguous():
    assert to_patterns(torch.arange(6).reshape(2, 3).T).tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_nan_is_refused(dtype):
    tensor = torch.tensor([1.0, float('nan'), float('nan')], dtype=dtype)
    with pytest.raises(CompressionError, match='2 of 3 values are NaN'):
        to_patterns(tensor)


@pytest.mark.parametrize(
    'tensor',
    [
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(2).to_sparse(),
        torch.zeros(2, device='meta'),
        torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8),
    ],
)
def test_other_kinds_are_refused(tensor):
    with pytest.raises(CompressionError, match='cannot be packed'):
        to_patterns(tensor)


def test_booleans_are_zero_or_one():
    assert from_patterns(np.array([1, 0], np.uint8), 'bool', (2,)).tolist() == [True, False]
    with pytest.raises(CompressionError, match='boolean'):
        from_patterns(np.array([1, 2], np.uint8), 'bool', (2,))
