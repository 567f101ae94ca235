"""Values as bytes: by hand, by NumPy, and through the reader of tests/codec/reference.py."""

import struct

import numpy as np
import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.codec.record import TensorRecord
from mmdet_lcp.codec.value_coding import (
    PlannedValues,
    decode_values,
    raw_values,
    row_values,
    shared_values,
)

from . import reference

TYPES = {'uint8': '<u1', 'float16': '<u2', 'float32': '<u4', 'float64': '<u8'}


def written(planned: PlannedValues, dtype: str, shape: tuple[int, ...]) -> tuple:
    """Its record and its two parts, as large as was told."""
    codebook, data = planned.codebook, planned.encode()
    assert planned.size == len(codebook) + len(data)
    record = TensorRecord('w', dtype, shape, planned.size, 0, **planned.form)
    record.check()
    return record, codebook, data


def check(planned: PlannedValues, patterns: np.ndarray, dtype: str, shape=None) -> TensorRecord:
    """Both readers find the patterns in what is written."""
    record, codebook, data = written(planned, dtype, shape or patterns.shape)
    assert reference.tensor(codebook + data, record.to_dict()) == patterns.tobytes()
    back, _ = decode_values(record, memoryview(codebook), memoryview(bytearray(data)))
    assert back.dtype == patterns.dtype and back.flags.writeable
    assert (back == patterns).all()
    return record


def drawn(count: int, kinds: int, dtype: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A rising codebook, and indices of which the lower ones are the more frequent."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(TYPES[dtype])
    found = np.arange(kinds, dtype=kind)
    if kind.itemsize > 1:
        step = np.iinfo(kind).max // kinds
        found = found * kind.type(step) + rng.integers(0, step, kinds, kind)
    return found, np.minimum(rng.geometric(0.3, count) - 1, kinds - 1).astype(np.uint8)


def test_raw_is_little_endian():
    patterns = np.array([1, 0x3F800000, 0x80000000], '<u4')
    planned = raw_values(patterns)
    assert (planned.form, planned.codebook) == ({}, b'')
    assert planned.encode() == struct.pack('<IfI', 1, 1.0, 0x80000000)
    check(planned, patterns, 'float32')


@pytest.mark.parametrize('dtype', TYPES)
@pytest.mark.parametrize(
    ('count', 'kinds'), [(1, 1), (9, 2), (500, 2), (500, 3), (4001, 16), (4001, 200), (999, 256)]
)
def test_shared_comes_back(dtype, count, kinds):
    codebook, indices = drawn(count, kinds, dtype)
    check(shared_values(codebook, indices), codebook[indices], dtype)


def dyadic(times: int) -> np.ndarray:
    """Shares of 1/2, 1/4, 1/8, 1/8: 14 bits in 8 symbols, and Huffman's code reaches that."""
    return np.tile(np.array([0, 0, 0, 0, 1, 1, 2, 3], np.uint8), times)


@pytest.mark.parametrize(
    ('times', 'form', 'size'),
    [
        (7, 'packed', 14),  # against ceil(12.25) and a table of 2
        (8, 'packed', 16),  # as many bytes either way
        (12, 'shared', 23),  # against 24
        (100, 'shared', 177),
    ],
)
def test_the_smaller_form_is_taken(times, form, size):
    codebook = np.array([3, 4, 8, 9], '<u4')
    planned = shared_values(codebook, dyadic(times))
    assert (planned.form['values'], planned.form['centroids']) == (form, 4)
    assert planned.size == 16 + size
    check(planned, codebook[dyadic(times)], 'float32')


def test_symbols_are_given_where_they_are_huffman_coded():
    codebook = np.array([3, 4, 8, 9], '<u4')
    for times, expected in ((100, dyadic(100).tolist()), (8, None)):
        record, *parts = written(shared_values(codebook, dyadic(times)), 'float32', (8 * times,))
        _, symbols = decode_values(record, *map(memoryview, parts))
        assert (None if symbols is None else symbols.tolist()) == expected


def test_shared_values_of_a_sparse_tensor_are_its_entries():
    """Four of a hundred elements; the record says so, the bytes are theirs alone."""
    data = bytes([0b01_10_11_00])
    codebook = struct.pack('<4f', 1, 2, 3, 4)
    record = TensorRecord.from_dict(
        dict(name='w', dtype='float32', shape=[100], size=16 + 18 + 1, crc=0)
        | dict(values='packed', centroids=4, gaps=[5, 4], gap_stream=[6, 32, 1, 9])
    )
    back, symbols = decode_values(record, memoryview(codebook), memoryview(data))
    assert back.view('<f4').tolist() == [2, 3, 4, 1] and symbols is None


def test_half_in_the_file_is_read_as_half():
    data = np.array([0.5, -2.0, 65504.0], '<f2').tobytes()
    record = TensorRecord('w', 'float32', (3,), 6, 0, stored='float16')
    record.check()
    back, _ = decode_values(record, memoryview(b''), memoryview(data))
    assert back.dtype == np.uint16
    assert back.view('<f2').tolist() == [0.5, -2.0, 65504.0]


def rows_of(rows: int, count: int, kinds: int, dtype: str = 'float32') -> np.ndarray:
    """Each row has all of so many values, and other ones than the next."""
    rng = np.random.default_rng(0)
    kind = np.dtype(TYPES[dtype])
    values = np.arange(rows * kinds).reshape(rows, kinds).astype(kind)
    return np.stack([rng.permutation(np.resize(row, count)) for row in values])


@pytest.mark.parametrize('dtype', TYPES)
@pytest.mark.parametrize(('kinds', 'bits'), [(1, 1), (2, 1), (3, 2), (4, 2), (6, 3)])
def test_rows_by_numpy(dtype, kinds, bits):
    table = rows_of(7, 90, kinds, dtype)
    planned = row_values(table.reshape(-1), 7)
    assert planned.form == {'values': 'rows', 'centroids': kinds}
    pairs = [np.unique(row, return_inverse=True) for row in table]
    codebooks, indices = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    assert planned.codebook == codebooks.tobytes()
    each = np.unpackbits(indices.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]
    assert planned.encode() == np.packbits(each).tobytes()
    check(planned, table.reshape(-1), dtype, (7, 90))


def test_rows_of_fewer_values_than_others():
    table = np.array([[5] * 40, [1, 2, 3, 4] * 10], '<u4')
    planned = row_values(table.reshape(-1), 2)
    assert planned.codebook == struct.pack('<8I', 5, 5, 5, 5, 1, 2, 3, 4)
    check(planned, table.reshape(-1), 'float32', (2, 40))


def test_rows_have_to_be_smaller_than_the_patterns():
    """Two rows of 16 are 128 bytes: 14 values each take 2 * 14 * 4 + 32 * 4 / 8, as many."""
    assert row_values(rows_of(2, 16, 14).reshape(-1), 2) is None
    assert row_values(rows_of(2, 16, 13).reshape(-1), 2).size == 120


@pytest.mark.parametrize(('count', 'rows'), [(400, 0), (400, 1), (0, 2)])
def test_no_rows(count, rows):
    assert row_values(np.zeros(count, '<u4'), rows) is None


@pytest.mark.parametrize(
    ('form', 'shape', 'codebooks'), [('packed', (4,), 1), ('rows', (2, 2), 2)]
)
def test_an_index_behind_the_codebook(form, shape, codebooks):
    """Three centroids have indices of two bits: 3 can be written, but is none."""
    codebook = memoryview(bytes(codebooks * 12))
    size = len(codebook) + 1
    record = TensorRecord('w', 'float32', shape, size, 0, values=form, centroids=3)
    record.check()
    back, _ = decode_values(record, codebook, memoryview(bytes([0b00_01_10_10])))
    assert len(back) == 4
    with pytest.raises(CompressionError, match='an index is behind the end of the codebook'):
        decode_values(record, codebook, memoryview(bytes([0b00_01_10_11])))
