"""What a pruning run works on, and how its records change."""

import copy

import pytest
import torch
from torch import nn

from mmdet_lcp import CompressionError, Plan
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.criteria import BNScale, L1Norm
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.removal import remove_channels
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.pruning.updates import NoUpdate
from mmdet_lcp.selection.images import SelectionImages

NORM = RemovalConfig(
    criterion=L1Norm(), update=NoUpdate(), layers='.', ratio=0.25, channel_divisor=1
)


@pytest.fixture
def job():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Conv2d(4, 2, 1))
    dense = copy.deepcopy(net).eval().requires_grad_(False)
    job = PruningJob.lay_out(net, dense, (8, 8), NORM, seed=0)
    job.see(SelectionSet([SelectionImages(torch.randn(2, 3, 8, 8), None)], 2**20))
    return job


def test_groups_stages_and_what_is_left(job):
    assert [(stage.group.name, stage.keep) for stage in job.stages] == [('0', 6), ('2', 3)]
    assert [item.name for item in job.skipped] == ['3']
    assert job.consumers == ['2', '3']
    assert job.totals[('0', 'out_channels')] == 8 and job.totals[('3', 'in_channels')] == 4


def test_a_removal_is_a_result_and_the_job_takes_it(job):
    removal = remove_channels(job, job.stages[0], NORM, seed=0)
    assert job.plan == Plan() and job.facts == []
    assert job.detector[0].out_channels == 6 and job.dense[0].out_channels == 8
    facts = removal.facts
    assert (facts.name, facts.total, facts.asked, facts.kept) == ('0', 8, 6, 6)
    job.take(removal.plan, facts)
    assert job.plan is removal.plan and job.facts == [facts]
    removal = remove_channels(job, job.stages[1], NORM, seed=0)
    job.take(removal.plan, removal.facts)
    assert job.detector(torch.zeros(1, 3, 8, 8)).shape == (1, 2, 4, 4)
    assert len(job.plan.modules['2']) == 2  # its inputs and its outputs


def test_alone_begins_anew_on_a_copy(job):
    before = copy.deepcopy(job.detector.state_dict())
    alone = job.alone()
    removal = remove_channels(alone, alone.stages[0], NORM, seed=0)
    alone.take(removal.plan, removal.facts)
    assert job.detector[0].out_channels == 8 and job.facts == [] and job.plan == Plan()
    assert all(torch.equal(v, before[k]) for k, v in job.detector.state_dict().items())


def test_numbers_of_a_target_are_taken(job):
    job.share_out(Allocation('macs', 0.5, 0.5, 0.1, 1.0, {'0': 8, '2': 2}))
    assert [(stage.group.name, stage.keep) for stage in job.stages] == [('2', 2)]
    assert [item.name for item in job.skipped] == ['3', '0']
    assert job.consumers == ['3']


def test_a_criterion_that_does_not_fit_is_told_at_once(job):
    config = RemovalConfig(criterion=BNScale(), update=NoUpdate(), layers='.')
    with pytest.raises(CompressionError, match='BNScale needs a batch norm'):
        PruningJob.lay_out(job.detector, job.dense, (8, 8), config, seed=0)
