"""Length, rate and schedule of one piece of training: what is taken, and what it makes."""

import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.engine.phase_config import PhaseConfig


@pytest.mark.parametrize(
    ('phase', 'iterations'),
    [
        (PhaseConfig(max_epochs=3), 21),
        (PhaseConfig(max_epochs=0), 0),
        (PhaseConfig(max_iters=5), 5),
        (PhaseConfig(max_iters=0), 0),
    ],
)
def test_iterations_of_epochs_of_seven(phase, iterations):
    phase.check('x')
    assert phase.iterations(7) == iterations


class TestTimes:
    def test_epochs_and_milestones(self):
        phase = PhaseConfig(
            max_epochs=4,
            lr=0.1,
            param_scheduler=[dict(type='MultiStepLR', milestones=[1, 3])],
            val_interval=2,
        )
        longer = phase.times(3)
        assert (longer.max_epochs, longer.max_iters) == (12, None)
        assert longer.param_scheduler[0]['milestones'] == [3, 9]
        assert (longer.lr, longer.val_interval) == (0.1, 2)
        assert phase.max_epochs == 4 and phase.param_scheduler[0]['milestones'] == [1, 3]

    def test_iterations(self):
        longer = PhaseConfig(max_iters=4).times(3)
        assert (longer.max_epochs, longer.max_iters) == (None, 12)

    def test_not_at_all(self):
        none = PhaseConfig(max_epochs=4, param_scheduler=dict(type='ConstantLR')).times(0)
        assert none.iterations(7) == 0 and none.param_scheduler is None

    def test_once_is_the_same(self):
        phase = PhaseConfig(max_epochs=4)
        assert phase.times(1) is phase


class TestRate:
    @pytest.mark.parametrize(
        ('keys', 'rate'),
        [({}, None), (dict(lr=0.3), 0.3), (dict(lr_factor=0.5), 1e-4), (dict(lr_factor=2), 4e-4)],
    )
    def test_of_a_detector_that_learns_at_2e_4(self, keys, rate):
        phase = PhaseConfig(max_iters=1, **keys)
        phase.check('x')
        assert phase.rate(2e-4) == rate
        assert phase.times(3).rate(2e-4) == rate

    def test_a_multiple_of_nothing(self):
        assert PhaseConfig(max_iters=1, lr=0.3).rate(None) == 0.3
        message = r'lr_factor=0\.5 is a multiple of optim_wrapper\.optimizer\.lr, which is not'
        with pytest.raises(CompressionError, match=message):
            PhaseConfig(max_iters=1, lr_factor=0.5).rate(None)


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        ({}, '^pruning.retrain: give either max_epochs or max_iters'),
        (dict(max_epochs=1, max_iters=1), 'give either max_epochs or max_iters'),
        (dict(max_epochs=-1), r'pruning\.retrain\.max_epochs'),
        (dict(max_iters=1.5), r'pruning\.retrain\.max_iters'),
        (dict(max_iters=1, val_interval=-1), r'pruning\.retrain\.val_interval'),
        (dict(max_iters=1, lr=0), r'pruning\.retrain\.lr'),
        (dict(max_iters=1, lr=-0.1), r'pruning\.retrain\.lr'),
        (dict(max_iters=1, lr_factor=0), r'pruning\.retrain\.lr_factor=0 must'),
        (
            dict(max_iters=1, lr=0.1, lr_factor=0.5),
            r'retrain\.lr=0\.1 and pruning\.retrain\.lr_factor=0\.5 both say the learning rate',
        ),
        (dict(max_iters=1, param_scheduler='step'), r"param_scheduler='step' must be a dict or a"),
        (dict(max_iters=1, param_scheduler=['step']), 'must be a dict or a list of dicts'),
    ],
)
def test_out_of_range(keys, message):
    with pytest.raises(CompressionError, match=message):
        PhaseConfig(**keys).check('pruning.retrain')
