"""The index of a packed file, compressed and expanded."""

import zlib

import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.codec import layout
from mmdet_lcp.codec.layout import compress_index, expand_index

TEXT = b'{"tensors": []}' * 50


def test_there_and_back():
    data = compress_index(TEXT)
    assert zlib.decompress(data) == TEXT
    assert expand_index(data, len(TEXT)) == TEXT


@pytest.mark.parametrize(
    ('data', 'size', 'words'),
    [
        (zlib.compress(TEXT), len(TEXT) - 1, 'not the size'),
        (zlib.compress(TEXT), len(TEXT) + 1, 'not the size'),
        (zlib.compress(TEXT)[:-3], len(TEXT), 'not the size'),
        (zlib.compress(TEXT) + b'x', len(TEXT), 'not the size'),
        (b'no zlib', 7, 'cannot be expanded'),
        (zlib.compress(TEXT), layout.MAX_INDEX + 1, 'more than'),
    ],
)
def test_damaged(data, size, words):
    with pytest.raises(CompressionError, match=words):
        expand_index(data, size)


def test_too_large(monkeypatch):
    monkeypatch.setattr(layout, 'MAX_INDEX', len(TEXT) - 1)
    with pytest.raises(CompressionError, match='with less in its `meta`'):
        compress_index(TEXT)


def test_sizes_are_those_of_the_page():
    """docs/packed_file.md: a head of 12 bytes, a tail of 56; the digest does not cover itself."""
    assert (layout.HEAD.size, layout.TAIL.size) == (12, 56)
    assert layout.UNHASHED == 40
    assert layout.new_digest().digest_size == 32
