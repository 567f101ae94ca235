"""The time that the rest of the cells will take."""

import pytest
from comparison_ground import cell_of

from mmdet_lcp.comparison.cell_pace import CellPace


def test_time_left(plan):
    pace = CellPace(jobs=2)
    assert pace.seconds_left(plan.cells) is None
    lcp, exact, scratch = (cell_of(plan, f'{n}_r0.5_s1') for n in ('lcp', 'lcp_exact', 'scratch'))
    pace.note(lcp, 28.0)
    assert pace.seconds_left([lcp, exact]) == pytest.approx((28 + 28) / 2)
    assert pace.seconds_left([scratch]) == pytest.approx(66)  # one job: nothing to share
    pace.note(scratch, 10.0)
    assert pace.seconds_left([scratch, scratch]) == pytest.approx(10)
