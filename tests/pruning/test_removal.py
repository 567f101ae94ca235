import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.removal import check_count


class Group:
    name = 'backbone.conv1'


STAGE = Stage(Group(), asked=8, keep=8, divisor=2, least=4)


@pytest.mark.parametrize('count', [4, 6, 8])
def test_what_may_stay(count):
    check_count(STAGE, list(range(count)))


@pytest.mark.parametrize(
    'keep', [[], [0, 1], list(range(5)), list(range(9)), list(range(10)), [0, 1, 2, 2]]
)
def test_what_may_not(keep):
    words = rf'backbone\.conv1: .*keeps {len(keep)} channels, but 8 at most and 4 at least.* of 2'
    with pytest.raises(CompressionError, match=words):
        check_count(STAGE, keep)
