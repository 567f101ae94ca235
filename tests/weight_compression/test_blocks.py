"""Patterns for blocks that do not fit the layers."""

import pytest
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.graph.run_order import RunOrder
from mmdet_lcp.weight_compression.blocks import blocks_of, default_blocks


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


def test_blocks_come_in_the_order_in_which_they_run():
    """Not in that of the modules; within a block the order of the modules stays."""
    detector = nn.Module()
    layers = ['bbox_head.cls', 'bbox_head.reg', 'encoder.0', 'encoder.1']
    order = RunOrder(['encoder.0', 'encoder.1', 'bbox_head.reg', layers[0]], frozenset(), {})
    blocks = default_blocks(detector, layers, order)
    assert [block.name for block in blocks] == ['encoder', 'bbox_head']
    assert blocks[1].layers == ('bbox_head.cls', 'bbox_head.reg')


def test_parts_that_make_predictions_come_last():
    """As in DINO, whose heads run on the encoder's proposals, and then on the decoder's."""
    layers = ['bbox_head.cls', 'bbox_head.mid', 'encoder.0', 'decoder.0']
    order = RunOrder(
        ['encoder.0', 'bbox_head.mid', 'bbox_head.cls', 'decoder.0'],
        frozenset({'bbox_head.cls'}),
        {},
    )
    blocks = default_blocks(nn.Module(), layers, order)
    assert [block.name for block in blocks] == ['encoder', 'decoder', 'bbox_head']
