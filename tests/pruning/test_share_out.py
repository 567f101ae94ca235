"""A target over a job's groups: the criterion's costs go to the planner, one plan to all ranks."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning import share_out as module
from mmdet_lcp.pruning.share_out import share_out
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.pruning.targets.target import Target

FOUND = Allocation('macs', 0.5, 0.49, 0.1, 1000.0, {'a': 3})
OTHER = Allocation('macs', 0.5, 0.48, 0.1, 1000.0, {'a': 2})


@pytest.fixture
def run(monkeypatch):
    """Share out with a planner and costs that note what they are given."""
    seen = {}

    class Planner:
        def __init__(self, target, stages, dense, size, folder, tell, **more):
            seen['planner'] = (target.share, stages, dense, size, folder, sorted(more))
            tell('planning')

        def share_out(self, costs, priced):
            seen['costs'] = (costs, priced)
            return [FOUND, OTHER] if seen.get('several') else [FOUND]

    def costs(criterion, images, objective, dense, detector, stages, seed, tell):
        seen['asked'] = (images, objective, dense, detector, stages, seed)
        if seen.get('fails'):
            raise CompressionError('the criterion has no costs')
        return ['costs']

    monkeypatch.setattr(module, 'TargetPlanner', Planner)
    monkeypatch.setattr(module, 'group_removal_costs', costs)
    monkeypatch.setattr(module, 'best_of', lambda job, found, config, tell: found[-1])
    job = SimpleNamespace(
        stages=['stage'], dense='dense', detector='detector', image_size=(8, 8), images='images',
        seed=5, groups=[], reasons={},
    )  # fmt: skip
    config = SimpleNamespace(
        target=Target(macs=0.5), objective='L', criterion=SimpleNamespace(priced='priced'),
        steps=lambda: None,
    )  # fmt: skip
    told = []
    return seen, told, lambda: share_out(job, config, Path('here'), told.append)


def test_what_is_passed_on(run):
    seen, told, work = run
    assert work() == FOUND
    assert seen['planner'] == (
        0.5, ['stage'], 'dense', (8, 8), Path('here'), ['reasons', 'stopwatch', 'wider']
    )  # fmt: skip
    assert seen['asked'] == ('images', 'L', 'dense', 'detector', ['stage'], 5)
    assert seen['costs'] == (['costs'], 'priced')
    assert told == ['planning']


def test_of_several_the_best_is_taken(run):
    seen, _, work = run
    seen['several'] = True
    assert work() == OTHER


def test_a_criterion_without_costs(run):
    seen, _, work = run
    seen['fails'] = True
    with pytest.raises(CompressionError, match='no costs'):
        work()
