import math

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from mmdet_lcp.engine.schedules import lasting, stretched


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


@pytest.mark.parametrize(('iters', 'middle'), [(40, 20), (36, 18)])
def test_the_end_lies_within_an_epoch(iters, middle):
    """Four epochs of 10 iterations, the last one whole or not: half of a cosine is its middle."""
    (schedule,) = lasting(
        dict(type='CosineAnnealingLR', eta_min=0.0, convert_to_iter_based=True), 4, iters
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = PARAM_SCHEDULERS.build(schedule, default_args=dict(optimizer=optimizer))
    rates = []
    for _ in range(iters):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    assert rates[middle] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx((1 - math.cos(math.pi / iters)) / 2)


def test_what_counts_epochs_goes_on_counting_them():
    given = dict(type='CosineAnnealingLR', T_max=2, convert_to_iter_based=True)
    assert lasting(given, 4, 36) == [{**given, 'end': 4}]


def test_decay_a_step():
    (schedule,) = stretched(dict(type='ExponentialLR', gamma=0.5), 2, 10)
    assert schedule['gamma'] ** 20 == pytest.approx(0.5)


def test_none():
    assert stretched(None, 2.0) is None
