"""Streams against the reader of tests/codec/reference.py, and against their entropy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdet_lcp.codec.symbol_stream import (
    PlannedStream,
    StreamRecord,
    decode_stream,
    entropy,
)
from mmdet_lcp.errors import CompressionError

from .reference import stream as read_stream

SYMBOLS = st.lists(st.integers(0, 255), max_size=300) | st.lists(st.integers(0, 2), max_size=300)


def drawn(probabilities, count, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice(len(probabilities), count, p=probabilities).astype(np.uint8)


def coded(symbols, alphabet) -> tuple[StreamRecord, bytes]:
    planned = PlannedStream(np.array(symbols, np.uint8), alphabet)
    planned.record.check()
    data = planned.encode()
    assert len(data) == planned.record.size
    return planned.record, data


def parts(record) -> tuple[int, int, int, int]:
    return record.count, record.alphabet, record.block, record.bits


@given(SYMBOLS, st.integers(0, 20))
def test_reads_back(symbols, unused):
    alphabet = min(256, max(symbols, default=0) + 1 + unused)
    record, data = coded(symbols, alphabet)
    assert decode_stream(record, memoryview(data)).tolist() == symbols
    assert read_stream(data, *parts(record)) == (symbols, b'')


@pytest.mark.parametrize(
    'probabilities',
    [
        [0.9, 0.1],
        [0.95, 0.05],
        [0.7, 0.2, 0.1],
        [0.9, 0.05, 0.03, 0.02],
        [0.55, 0.2, 0.1, 0.05, 0.05, 0.05],
        np.full(7, 1 / 7),
        0.9 ** np.arange(256) / (0.9 ** np.arange(256)).sum(),
        np.exp(-(((np.arange(256) - 128) / 40) ** 2))
        / np.exp(-(((np.arange(256) - 128) / 40) ** 2)).sum(),
    ],
)
def test_is_within_three_percent_of_the_entropy(probabilities):
    """Single symbols of two would take at least one bit: twice the entropy and more."""
    symbols = drawn(probabilities, 400_000)
    share = np.bincount(symbols) / len(symbols)
    bound = -sum(p * np.log2(p) for p in share if p) * len(symbols) / 8
    record, data = coded(symbols, len(probabilities))
    assert record.bits / 8 <= 1.03 * bound
    assert len(data) <= 1.05 * bound  # with the table
    assert (decode_stream(record, memoryview(data)) == symbols).all()


def test_blocks_are_taken_only_where_they_pay():
    assert coded(drawn([0.9, 0.1], 10_000), 2)[0].block > 1
    assert coded(drawn([0.9, 0.1], 20), 2)[0].block < 6  # the table would cost more
    assert coded(drawn([0.5, 0.5], 10_000), 2)[0].block == 1


def test_empty_and_constant():
    assert coded([], 5) == (StreamRecord(0, 5, 1, 0), b'')
    record, data = coded([0] * 1000, 1)
    assert (record.block, record.bits, len(data)) == (12, 84, 12)
    assert decode_stream(record, memoryview(data)).tolist() == [0] * 1000


@pytest.mark.parametrize(
    'record',
    [
        (-1, 2, 1, 1),
        (1, 0, 1, 1),
        (1, 257, 1, 1),
        (1, 2, 0, 1),
        (1, 2, 13, 1),
        (1, 65, 2, 1),
        (100, 2, 4, 24),
        (0, 2, 1, 5),
        (10**18, 1, 12, 10**9),
    ],
)
def test_impossible_records(record):
    with pytest.raises(CompressionError, match='impossible stream'):
        StreamRecord(*record).check()


def test_more_or_fewer_symbols_than_told():
    symbols = drawn([0.4, 0.3, 0.3], 101)
    record, data = coded(symbols, 3)
    assert record.block == 1
    for count, bits in [(100, 0), (102, 0), (101, -1), (101, -7)]:
        told = StreamRecord(count, 3, 1, record.bits + bits)
        with pytest.raises(CompressionError, match='stream'):
            decode_stream(told, memoryview(data))


@given(st.binary(min_size=3, max_size=40), st.integers(1, 60), st.integers(1, 4))
def test_any_bytes_give_symbols_or_an_error(data, count, alphabet):
    record = StreamRecord(count, alphabet, 1, 8 * (len(data) - (alphabet + 1) // 2))
    try:
        symbols = decode_stream(record, memoryview(data))
    except CompressionError:
        return
    assert len(symbols) == count and symbols.max() < alphabet


def test_entropy_by_hand():
    assert entropy(np.array([0, 1, 1, 2, 2, 2, 2, 3], np.uint8)) == 1.75
    assert entropy(np.zeros(9, np.uint8)) == 0
    assert entropy(np.zeros(0, np.uint8)) == 0
