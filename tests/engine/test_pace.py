import pytest

from mmdet_lcp.engine import pace as module
from mmdet_lcp.engine.pace import Pace


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, 'monotonic', lambda: now[0])
    return now


def test_counts_iterations_and_stages_apart(clock):
    pace = Pace(stages=4, iterations=100)
    assert pace.seconds_left(0, 0) is None
    with pace.stage():
        with pace.training(iterations=10):
            clock[0] += 20.0  # 2 s an iteration
        clock[0] += 5.0  # 5 s a stage
    # 3 stages and 90 iterations are left: 3 * 5 + 90 * 2
    assert pace.seconds_left(1, 10) == pytest.approx(195.0)
    with pace.stage():
        clock[0] += 7.0  # a stage without training
    assert pace.seconds_left(2, 10) == pytest.approx(2 * 6.0 + 90 * 2.0)
    assert pace.seconds_left(4, 100) == 0


def test_without_any_training(clock):
    pace = Pace(stages=2, iterations=0)
    with pace.stage():
        clock[0] += 3.0
    assert pace.seconds_left(1, 0) == pytest.approx(3.0)


def test_training_that_nobody_has_timed_is_not_counted(clock):
    pace = Pace(stages=2, iterations=50)
    with pace.stage():
        clock[0] += 3.0
    assert not pace.knows_training
    assert pace.seconds_left(1, 0) == pytest.approx(3.0)
    with pace.stage():
        clock[0] += 3.0
    assert pace.seconds_left(2, 0) is None  # the retraining alone is left
    assert pace.seconds_left(3, 0) is None  # also once what comes before it is done
    with pace.training(10):
        clock[0] += 5.0
    assert pace.knows_training
    assert pace.seconds_left(3, 10) == pytest.approx(20.0)


def test_what_the_first_stage_does_for_all_is_not_expected_again(clock):
    pace = Pace(stages=10)
    for seconds, expected in ((33.0, 9 * 33.0), (3.0, 8 * 3.0), (5.0, 7 * 4.0)):
        with pace.stage():
            clock[0] += seconds
        assert pace.seconds_left(len(pace._stages), 0) == pytest.approx(expected)


def test_training_that_is_under_way_counts(clock):
    pace = Pace(stages=0, iterations=30)
    with pace.training(iterations=10):
        assert pace.seconds_left(0, 0) is None
        clock[0] += 6.0
        pace.count()
        pace.count()
        assert pace.seconds_left(0, 2) == pytest.approx(28 * 3.0)
        clock[0] += 4.0
    # the whole piece counts once: 10 s for 10 iterations
    assert pace.seconds_left(0, 10) == pytest.approx(20.0)
