"""Every group is scored alone; the costs themselves are in tests/pruning/criteria."""

import copy

import pytest
import small_ssd
import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import find_groups
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.criteria import L1Norm
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.targets import removal_costs as module
from mmdet_lcp.pruning.targets.removal_costs import group_removal_costs


@pytest.fixture
def score():
    dense = small_ssd.build()
    groups = [g for g in find_groups(dense, (small_ssd.SIZE,) * 2) if g.obstacle is None][:3]
    stages = [Stage(group, 1, 1, 1, 1) for group in groups]
    told: list[str] = []

    def run(criterion):
        told.clear()
        detector = copy.deepcopy(dense)
        images = small_ssd.draw(dense, num_images=2)
        objective = Objective(alpha=0.0)
        costs = group_removal_costs(
            criterion, images, objective, dense, detector, stages, 0, told.append
        )
        return stages, costs, told

    return run


def test_one_cost_for_each_channel_that_may_go(score):
    stages, costs, told = score(L1Norm())
    assert [len(own) for own in costs] == [stage.group.channels - 1 for stage in stages]
    assert [line.split(',')[0] for line in told[-3:]] == [
        f'Scored {i}/3 groups' for i in (1, 2, 3)
    ]


def test_progress_is_told_at_once_and_at_the_pace_of_the_groups(score, monkeypatch):
    """33 s with the passes for all groups, then 2 s a group; nothing is expected after one."""
    now = [0.0]
    monkeypatch.setattr(module.time, 'monotonic', lambda: now[0])

    class Timed(L1Norm):
        def removal_costs(self, problem, least):
            now[0] += 2.0 if now[0] else 33.0
            return super().removal_costs(problem, least)

    first, *scored = score(Timed())[2]
    assert first.startswith('Scoring 3 groups on 2 images')
    assert [line.partition(' elapsed')[2] for line in scored] == [
        '',
        ', about 2.0 s left',
        ', about 0.0 s left',
    ]


def test_costs_that_are_not_finite_say_what_the_detector_is(score):
    class Broken(L1Norm):
        def removal_costs(self, problem, least):
            return torch.full((problem.channels - least,), torch.inf, dtype=torch.float64)

    with pytest.raises(CompressionError) as error:
        score(Broken())
    text = str(error.value)
    assert 'what its channels cost is not finite. The dense detector on the selection' in text
    assert 'its weights are finite; its outputs are up to' in text and 'its loss is' in text
