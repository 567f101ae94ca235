import pytest

from mmdet_lcp.runner.schedules import lasting, stretched


def test_epochs_become_iterations():
    (schedule,) = stretched(
        dict(type='CosineAnnealingLR', T_max=4, end=4, convert_to_iter_based=True), 0.5, 10
    )
    assert schedule == dict(type='CosineAnnealingLR', T_max=20, end=20, by_epoch=False)


def test_iterations_are_stretched_too():
    (schedule,) = stretched([dict(type='StepLR', by_epoch=False, step_size=10)], 1.5, 10)
    assert schedule['step_size'] == 15


def test_the_end_is_that_of_the_training():
    given = [dict(type='A'), dict(type='B', by_epoch=False), dict(type='C', end=2)]
    assert [s['end'] for s in lasting(given, 4, 40)] == [4, 40, 2]
    assert lasting(given[1], 4, 40) == [dict(type='B', by_epoch=False, end=40)]
    assert lasting(None, 4, 40) is None
    assert 'end' not in given[0]


def test_decay_a_step():
    (schedule,) = stretched(dict(type='ExponentialLR', gamma=0.5), 2, 10)
    assert schedule['gamma'] ** 20 == pytest.approx(0.5)


def test_none():
    assert stretched(None, 2.0) is None
