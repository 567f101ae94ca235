import pytest

from mmdet_lcp.graph.stage import Stage


@pytest.mark.parametrize(
    ('count', 'expected'),
    [(1, 8), (8, 8), (9, 12), (12, 12), (13, 16), (20, 20), (21, 20), (99, 20)],
)
def test_up_to_the_divisor_at_least_the_least_and_at_most_what_stays(count, expected):
    stage = Stage(None, asked=21, keep=20, divisor=4, least=8)
    assert stage.round_up(count) == expected
