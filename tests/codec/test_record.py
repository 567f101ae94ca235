"""Records of tensors: sizes by hand from docs/packed_file.md, and numbers that cannot be."""

import json

import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.codec.record import TensorRecord

RAW = dict(name='w', dtype='float32', shape=[2, 5], size=40, crc=7)
HALF = dict(RAW, size=20, stored='float16')
# three centroids: indices of 2 bits
PACKED = dict(RAW, size=12 + 3, values='packed', centroids=3)
ROWS = dict(RAW, size=2 * 12 + 3, values='rows', centroids=3)
# a table of 3 lengths in 2 bytes, 16 bits of codewords
SHARED = dict(RAW, size=12 + 4, values='shared', centroids=3, stream=[10, 3, 1, 16])
# gaps of 4 entries and 2 fillers: a table of 32 lengths, 9 bits of codewords
SPARSE = dict(RAW, shape=[50], size=18 + 16, gaps=[5, 4], gap_stream=[6, 32, 1, 9])
SPARSE_SHARED = dict(SPARSE, size=8 + 18 + 2, values='shared', centroids=2, stream=[4, 2, 1, 5])
SPARSE_PACKED = dict(SPARSE, size=8 + 18 + 1, values='packed', centroids=2)
EMPTY = dict(RAW, shape=[0, 3], size=0)
GOOD = {
    'raw': RAW,
    'raw float16': HALF,
    'packed': PACKED,
    'rows': ROWS,
    'shared': SHARED,
    'sparse raw': SPARSE,
    'sparse shared': SPARSE_SHARED,
    'sparse packed': SPARSE_PACKED,
}


def refused(data, words):
    with pytest.raises(CompressionError, match=words):
        TensorRecord.from_dict(data)


@pytest.mark.parametrize('data', [*GOOD.values(), EMPTY])
def test_there_and_back(data):
    record = TensorRecord.from_dict(json.loads(json.dumps(data)))
    assert record.to_dict() == data
    assert TensorRecord.from_dict(record.to_dict()) == record


@pytest.mark.parametrize('coding', GOOD)
def test_codings_in_words(coding):
    assert TensorRecord.from_dict(GOOD[coding]).coding == coding


@pytest.mark.parametrize(
    ('data', 'codebooks', 'sizes'),
    [
        (RAW, 0, (0, 0, 40)),
        (HALF, 0, (0, 0, 20)),
        (PACKED, 1, (12, 0, 3)),
        (ROWS, 2, (24, 0, 3)),
        (SHARED, 1, (12, 0, 4)),
        (SPARSE, 0, (0, 18, 16)),
        (SPARSE_SHARED, 1, (8, 18, 2)),
        (SPARSE_PACKED, 1, (8, 18, 1)),
        (EMPTY, 0, (0, 0, 0)),
    ],
)
def test_parts_by_hand(data, codebooks, sizes):
    record = TensorRecord.from_dict(data)
    assert (record.codebooks, record.part_sizes()) == (codebooks, sizes)


def test_elements_and_entries():
    """Of a sparse tensor all elements are there in memory, in the file those that are not 0."""
    dense, sparse = TensorRecord.from_dict(RAW), TensorRecord.from_dict(SPARSE)
    assert (dense.elements, dense.entries, dense.decoded_size) == (10, 10, 40)
    assert (sparse.elements, sparse.entries, sparse.decoded_size) == (50, 4, 200)
    scalar = TensorRecord.from_dict(dict(RAW, dtype='int64', shape=[], size=8))
    assert (scalar.elements, scalar.decoded_size) == (1, 8)


def test_half_is_the_files_type_alone():
    record = TensorRecord.from_dict(HALF)
    assert (record.dtype, record.file_dtype, record.decoded_size) == ('float32', 'float16', 40)
    assert TensorRecord.from_dict(RAW).file_dtype == 'float32'


@pytest.mark.parametrize(
    ('data', 'change'),
    [
        (RAW, dict(shape=[1] * 65, size=4)),
        (RAW, dict(shape=[0, 2**40 + 1], size=0)),
        (RAW, dict(shape=[0, 2**30, 2**30], size=0)),
        (RAW, dict(dtype='complex64')),
        (PACKED, dict(values='huffman')),
        (RAW, dict(centroids=3)),
        (RAW, dict(stream=[10, 3, 1, 16])),
        (HALF, dict(stored='bfloat16')),
        (HALF, dict(dtype='float64')),
        (PACKED, dict(stored='float16', size=6 + 3)),
        (SPARSE, dict(stored='float16', size=18 + 8)),
        (PACKED, dict(centroids=0, size=2)),
        (PACKED, dict(centroids=257, size=257 * 4 + 12)),
        (PACKED, dict(stream=[10, 3, 1, 16])),
        (SHARED, dict(stream=None)),
        (ROWS, dict(shape=[10])),
        (ROWS, dict(shape=[2, 0], size=24)),
        (ROWS, dict(shape=[0, 2], size=0)),
        (ROWS, dict(gaps=[5, 4], gap_stream=[6, 32, 1, 9], size=24 + 18 + 1)),
    ],
)
def test_impossible_records(data, change):
    """None stands for a key that is not there; sizes are right, so that they are not to blame."""
    changed = {key: value for key, value in {**data, **change}.items() if value is not None}
    refused(changed, '^w: impossible record')


@pytest.mark.parametrize(
    ('shape', 'size'), [([1] * 64, 4), ([0, 2**40], 0), ([0, 2**30, 2**29], 0)]
)
def test_the_largest_shapes(shape, size):
    assert TensorRecord.from_dict(dict(RAW, shape=shape, size=size)).shape == tuple(shape)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(gaps=[0, 4], gap_stream=[6, 1, 1, 9]), 'impossible gaps'),
        (dict(gaps=[9, 4]), 'impossible gaps'),
        (dict(gaps=[4, 4]), 'impossible gaps'),  # 32 kinds of gaps, but 4 bits
        (dict(gaps=[5, 7]), 'impossible gaps'),  # 6 gaps
        (dict(shape=[3]), 'impossible gaps'),
        (dict(gap_stream=[6, 32, 1, 5]), 'impossible stream'),
    ],
)
def test_impossible_gaps(change, words):
    refused({**SPARSE, **change}, f'^w: {words}')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(stream=[10, 3, 1, 9]), 'impossible stream'),
        (dict(stream=[9, 3, 1, 16]), 'values and codebook do not fit'),
        (dict(stream=[10, 4, 1, 16]), 'values and codebook do not fit'),
    ],
)
def test_impossible_values(change, words):
    refused({**SHARED, **change}, f'^w: {words}')


@pytest.mark.parametrize('data', GOOD.values())
@pytest.mark.parametrize('more', [-1, 1])
def test_another_size(data, more):
    refused(dict(data, size=data['size'] + more), 'the parts are not as large as the whole')


def test_at_most_1024_times_as_large():
    most = 1024 * SPARSE['size'] // 4
    assert TensorRecord.from_dict(dict(SPARSE, shape=[most])).decoded_size == 1024 * 34
    refused(dict(SPARSE, shape=[most + 1]), f'^w: 34 bytes claim to be a tensor of {34816 + 4}')


@pytest.mark.parametrize('data', [None, [], 'w', [['name', 'w']]])
def test_no_mapping(data):
    refused(data, 'a record is no mapping')


@pytest.mark.parametrize('key', ['name', 'dtype', 'shape', 'size', 'crc'])
def test_keys_that_are_missing(key):
    data = {name: value for name, value in RAW.items() if name != key}
    refused(data, rf"unknown keys \[\] or lacks \['{key}'\]")


def test_keys_that_are_unknown():
    refused({**RAW, 'pickle': 1, 3: 4}, r"unknown keys \['3', 'pickle'\] or lacks \[\]")


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(name=3), 'name=3: no text'),
        (dict(dtype=None), 'dtype=None: no text'),
        (dict(values=1), 'values=1: no text'),
        (dict(stored=None), 'stored=None: no text'),
        (dict(size=-1), 'size=-1: no whole number'),
        (dict(size=40.0), r'size=40\.0: no whole number'),
        (dict(crc=True), 'crc=True: no whole number'),
        (dict(centroids='3'), "centroids='3': no whole number"),
        (dict(shape=[2, -5]), 'shape=-5: no whole number'),
        (dict(shape=[2, [5]]), r'shape=\[5\]: no whole number'),
        (dict(shape=10), 'shape=10: not numbers$'),
        (dict(stream=[10, 3, 1]), r'stream=\[10, 3, 1\]: not 4 numbers'),
        (dict(gaps=[5, 4, 1], gap_stream=[6, 32, 1, 9]), r'gaps=\[5, 4, 1\]: not 2 numbers'),
        (dict(gaps=[5, 4]), 'gap_stream=None: not 4 numbers'),
        (dict(gap_stream=[6, 32, 1, 9]), 'gaps=None: not 2 numbers'),
    ],
)
def test_values_of_another_kind(change, words):
    refused({**RAW, **change}, f'a record has {words}')


def test_a_long_value_is_cut_short_in_the_message():
    with pytest.raises(CompressionError) as caught:
        TensorRecord.from_dict(dict(RAW, size='9' * 10_000))
    assert len(str(caught.value)) < 200
