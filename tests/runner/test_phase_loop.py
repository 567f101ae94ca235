"""Phases, laid end to end."""

from itertools import pairwise

from mmdet_lcp.runner.phase_config import PhaseConfig
from mmdet_lcp.runner.phase_loop import schedule_phases


def test_phases_by_hand():
    configs = [
        PhaseConfig(max_epochs=2),  # 10 iterations
        PhaseConfig(max_iters=7),  # an epoch and a part of one
        PhaseConfig(max_iters=0),
        PhaseConfig(max_iters=5),  # one epoch exactly
        PhaseConfig(max_epochs=0),
        PhaseConfig(max_iters=1),
    ]
    phases = schedule_phases(configs, epoch_length=5)
    table = [(p.first_epoch, p.epochs, p.first_iter, p.iters) for p in phases]
    assert table == [(0, 2, 0, 10), (2, 2, 10, 7), (4, 0, 17, 0), (4, 1, 17, 5), (5, 0, 22, 0),
                     (5, 1, 22, 1)]  # fmt: skip
    assert [p.config for p in phases] == configs
    for before, after in pairwise(phases):
        assert (before.end_epoch, before.end_iter) == (after.first_epoch, after.first_iter)
    assert (phases[-1].end_epoch, phases[-1].end_iter) == (6, 23)


def test_no_phases():
    assert schedule_phases([], 3) == []
