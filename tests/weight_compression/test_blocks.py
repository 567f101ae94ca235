"""Patterns for blocks that do not fit the layers."""

import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.weight_compression.blocks import blocks_of


@pytest.mark.parametrize(
    ('patterns', 'words'),
    [
        (['a', 'x'], r"where\[1\]: 'x' matches none of the 3 layers that are changed"),
        (['a', 'c'], r"where\[1\]: 'c' only matches c\.1, which is left alone"),
        (['a', 'a.1', 'b'], r"a\.1 is in two blocks, 'a' and 'a.1'"),
        (['a.1', 'b'], r"1 layers that are changed are in no block: a\.2; .*'a\.1'.*`keep`"),
        (['(', 'b'], r'where\[0\].*not a regular expression'),
    ],
)
def test_blocks_that_do_not_fit(patterns, words):
    with pytest.raises(CompressionError, match=words):
        blocks_of(patterns, ['a.1', 'a.2', 'b.1'], ['a.1', 'a.2', 'b.1', 'c.1'], 'where')
