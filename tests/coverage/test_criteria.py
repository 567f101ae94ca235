"""Which groups a criterion is tried on, and how what it cannot do is told."""

import pytest
from toys import chain

from mmdet_lcp.coverage.criteria import _reason, of_each_make
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import find_groups


def test_one_group_of_each_make():
    detector = chain()
    groups = [g for g in find_groups(detector, (8, 8)) if g.obstacle is None]
    assert [group.name for group in groups] == ['0', '1', '2', '3']
    # 0 is written by a 3x3 kernel, 3 read by one, behind a batch norm
    assert [group.name for group in of_each_make(detector, groups)] == ['0', '1', '3']


@pytest.mark.parametrize(
    ('message', 'reason'),
    [
        ('neck.conv: it is odd. Leave it out.', 'it is odd'),
        ('pruning.attachment: it reads a.b, a Linear.', 'it reads a.b, a Linear'),
        ('It has no anchors: take another.', 'It has no anchors: take another'),
        ('Nothing works.', 'Nothing works'),
    ],
)  # fmt: skip
def test_reasons_begin_behind_what_they_are_about(message, reason):
    assert _reason(CompressionError(message)) == reason
