import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdet_lcp.codec import fixed_bits
from mmdet_lcp.codec.fixed_bits import index_bits, pack_bits, packed_size, unpack_bits
from mmdet_lcp.errors import CompressionError


@pytest.mark.parametrize(
    ('centroids', 'bits'), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (128, 7), (129, 8), (256, 8)]
)
def test_bits_of_an_index(centroids, bits):
    assert index_bits(centroids) == bits


def test_by_hand():
    """5, 1, 7 and 2 with 3 bits: 101 001 111 010, and four bits to fill."""
    assert pack_bits(np.array([5, 1, 7, 2], np.uint8), 3) == bytes([0b10100111, 0b10100000])


@given(
    st.integers(1, 8), st.lists(st.integers(0, 255), max_size=60), st.sampled_from([8, 1 << 20])
)
def test_reads_back(bits, indices, chunk):
    indices = [index % 2**bits for index in indices]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixed_bits, 'CHUNK', chunk)
        data = pack_bits(np.array(indices, np.uint8), bits)
        assert len(data) == packed_size(len(indices), bits)
        assert unpack_bits(memoryview(data), len(indices), bits).tolist() == indices
    text = ''.join(f'{index:0{bits}b}' for index in indices)
    assert data == bytes(int(text[i : i + 8].ljust(8, '0'), 2) for i in range(0, len(text), 8))


def test_filling_bits_are_zero():
    with pytest.raises(CompressionError, match='behind their end'):
        unpack_bits(memoryview(bytes([0b10100001])), 2, 3)
