"""What a user may choose about packing."""

import pytest
import torch

from mmdet_lcp import CompressionError
from mmdet_lcp.codec import PackSettings


@pytest.mark.parametrize('key', ['conv_gap_bits', 'fc_gap_bits'])
@pytest.mark.parametrize('bits', [0, 9, 2.5, '8'])
def test_bits_out_of_range(key, bits):
    with pytest.raises(CompressionError, match=f'{key}={bits!r}: take a whole number from 1 to 8'):
        PackSettings(**{key: bits})


def test_gaps_by_dimension():
    settings = PackSettings(conv_gap_bits=7, fc_gap_bits=3)
    assert [settings.gap_bits(n) for n in (1, 2, 3, 4, 5)] == [3, 3, 7, 7, 7]


def test_signs_of_zeros():
    values = torch.tensor([-0.0, 0.0, -1.0])
    assert torch.signbit(PackSettings().with_plain_zeros(values)).tolist() == [True, False, True]
    plain = PackSettings(plain_zeros=True).with_plain_zeros(values)
    assert torch.signbit(plain).tolist() == [False, False, True]
    assert torch.signbit(values).tolist() == [True, False, True]  # left as it was
    integers = torch.tensor([0, 3])
    assert PackSettings(plain_zeros=True).with_plain_zeros(integers) is integers
