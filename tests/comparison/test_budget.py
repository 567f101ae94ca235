"""Every method trains the detector for as many iterations, whatever it trains along."""

import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.comparison.budget import Budget, set_phases, share_out, total_iterations
from mmdet_lcp.pruning.config import PruningConfig


def config(finetune: dict, retrain: dict) -> PruningConfig:
    pruning = dict(
        criterion=dict(type='L1Norm'),
        update=dict(type='NoUpdate'),
        attachment=None,
        finetune=finetune,
        retrain=retrain,
    )
    return PruningConfig.from_cfg(dict(pruning=pruning))


@pytest.fixture
def given() -> PruningConfig:
    """Two epochs before each group, ten at the end, with a step after the sixth."""
    schedule = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=5),
        dict(type='MultiStepLR', milestones=[6]),
    ]
    retrain = dict(max_epochs=10, lr=0.02, param_scheduler=schedule, val_interval=3)
    return config(dict(max_epochs=2, lr=0.01, param_scheduler=None), retrain)


def test_total_worked_by_hand(given):
    assert total_iterations(given, 3, 7) == 3 * 2 * 7 + 10 * 7


class TestShareOut:
    @pytest.mark.parametrize(('groups', 'finetune'), [(3, 8), (13, 1), (5, 0)])
    def test_the_sum_stays(self, groups, finetune):
        budget = share_out(100, groups, finetune, 'lcp')
        assert budget == Budget(groups, finetune, 100 - groups * finetune)
        assert budget.total == 100

    def test_in_words(self):
        assert str(share_out(100, 3, 8, 'lcp')) == '3 x 8 + 76'
        assert str(share_out(100, 3, 0, 'lcp')) == '100'

    @pytest.mark.parametrize('total', [24, 10])
    def test_nothing_left_for_the_retraining(self, total):
        message = (
            f'^lcp: 3 groups x 8 .* are 24, and the whole budget is {total} .*--finetune-iters'
        )
        with pytest.raises(CompressionError, match=message):
            share_out(total, 3, 8, 'lcp')

    def test_a_run_without_training(self):
        """Selection alone is compared so."""
        assert share_out(0, 3, 0, 'l1_norm').total == 0


class TestSetPhases:
    def test_lengths_rates_and_a_schedule_of_the_same_shape(self, given):
        pruning = dict(ratio=0.5, retrain=dict(max_epochs=1, mimic=dict(weight=2)))
        found = set_phases(pruning, given, Budget(3, 8, 35), 7)
        assert found['finetune'] == dict(
            max_epochs=None, max_iters=8, lr=0.01, param_scheduler=None, val_interval=0
        )
        warm_up, steps = found['retrain'].pop('param_scheduler')
        assert found['retrain'] == dict(
            max_epochs=None, max_iters=35, lr=0.02, val_interval=3, mimic=dict(weight=2)
        )
        assert (warm_up['end'], warm_up['by_epoch']) == (5, False)
        # after 6 of 10 epochs, so after 21 of 35 iterations
        assert (steps['milestones'], steps['by_epoch']) == ([21], False)
        assert found['ratio'] == 0.5
        assert pruning == dict(ratio=0.5, retrain=dict(max_epochs=1, mimic=dict(weight=2)))

    def test_a_multiple_of_the_detectors_rate(self):
        half = dict(max_epochs=10, lr_factor=0.5)
        given = config(dict(max_epochs=2, lr=0.01), half)
        found = set_phases(dict(retrain=dict(max_epochs=1, lr=7)), given, Budget(3, 8, 35), 7)
        assert (found['retrain']['lr'], found['retrain']['lr_factor']) == (None, 0.5)
        assert 'lr_factor' not in found['finetune']

    def test_a_phase_of_no_iteration_has_no_schedule(self, given):
        found = set_phases({}, given, Budget(3, 0, 0), 7)
        assert found['retrain']['max_iters'] == 0 and found['retrain']['param_scheduler'] is None
