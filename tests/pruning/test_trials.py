"""Of several allocations the best one, by outputs that are pruned by hand, and by the loss."""

import copy
import re

import pytest
import torch
from torch import nn

from mmdet_lcp import prune
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.criteria import L1Norm
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.pruning.targets.target import SPREADS, Target
from mmdet_lcp.pruning.trials import best_of
from mmdet_lcp.pruning.updates import NoUpdate
from mmdet_lcp.selection.images import SelectionImages

CONFIG = RemovalConfig(
    criterion=L1Norm(),
    update=NoUpdate(),
    layers='.',
    target=Target(macs=0.5),
    channel_divisor=1,
    norm_statistics='keep',
)


def allocation(first: int, second: int, spread: float) -> Allocation:
    return Allocation('macs', 0.5, 0.5, 0.1, 1.0, {'0': first, '1': second}, spread=spread)


@pytest.fixture
def images():
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def job(images):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 2, 1))
    dense = copy.deepcopy(net).eval().requires_grad_(False)
    job = PruningJob.lay_out(net, dense, (8, 8), CONFIG, seed=0)
    job.see(SelectionSet([SelectionImages(images, None)], 2**20))
    return job


def error_by_hand(net: nn.Sequential, images: torch.Tensor, counts: dict[str, int]) -> float:
    """Mean squared error of the outputs with the smallest kernels set to zero."""
    masked = copy.deepcopy(net)
    for name, count in counts.items():
        layer = masked[int(name)]
        order = layer.weight.abs().sum((1, 2, 3)).argsort(descending=True)
        with torch.no_grad():
            layer.weight[order[count:]] = 0
            layer.bias[order[count:]] = 0
            masked[int(name) + 1].weight[:, order[count:]] = 0  # the next one is ranked without
    with torch.no_grad():
        return float((masked(images) - net(images)).square().mean())


def test_the_nearest_outputs(job, images):
    ways = [allocation(2, 7, 1.25), allocation(7, 2, 1.0), allocation(5, 5, 1.5)]
    errors = [error_by_hand(job.dense, images, way.counts) for way in ways]
    state = copy.deepcopy(job.detector.state_dict())
    stages, skipped = list(job.stages), list(job.skipped)
    told = []
    found = best_of(job, ways, CONFIG, told.append)
    assert found is ways[errors.index(min(errors))]
    variance = float(job.dense(images).var(correction=0))
    for line, way, error in zip(told[1:-1], ways, errors, strict=True):
        assert f'spread {way.spread:g}, ' in line
        told_error = float(re.search(r'outputs ([\d.e-]+)', line)[1])
        assert told_error == pytest.approx(error / variance, rel=1e-3)
    assert told[-1] == f'Taken: spread {found.spread:g}'
    # The job is as it was.
    assert (job.stages, job.skipped, job.facts, job.allocation) == (stages, skipped, [], None)
    assert job.images._resumed.size == 0
    assert all(torch.equal(value, state[key]) for key, value in job.detector.state_dict().items())


def test_with_annotations_the_loss_decides(job, monkeypatch):
    """Of the detector that each allocation leaves."""
    ways = [allocation(5, 5, 1.25), allocation(6, 4, 1.0), allocation(3, 7, 1.5)]
    losses = {5: 2.0, 6: 1.5, 3: 3.0}
    job.dense.parse_losses = None
    monkeypatch.setattr('mmdet_lcp.pruning.trials.labelled', lambda batches: True)
    monkeypatch.setattr(
        'mmdet_lcp.pruning.trials.mean_loss', lambda net, batches: losses[net[0].out_channels]
    )
    told = []
    assert best_of(job, ways, CONFIG, told.append) is ways[1]
    assert [line.partition(', about')[0] for line in told[1:]] == [
        '1/3: spread 1.25, loss 2',
        '2/3: spread 1, loss 1.5',
        '3/3: spread 1.5, loss 3',
        'Taken: spread 1',
    ]


def test_of_equals_the_first(job):
    ways = [allocation(5, 5, 1.25), allocation(5, 5, 1.0)]
    assert best_of(job, ways, CONFIG, lambda line: None) is ways[0]


def test_outputs_that_are_not_finite_are_never_taken(job, monkeypatch):
    ways = [allocation(5, 5, 1.25), allocation(6, 4, 1.0)]
    distances = iter([float('nan'), 3.0])
    monkeypatch.setattr('mmdet_lcp.pruning.trials.distance', lambda *_: next(distances))
    assert best_of(job, ways, CONFIG, lambda line: None) is ways[1]


def test_one_is_not_tried(job):
    told = []
    only = allocation(5, 5, 1.25)
    assert best_of(job, [only], CONFIG, told.append) is only
    assert told == []


def test_from_python(images):
    """`prune` with ``spread='auto'`` leaves what `prune` with the spread that it took leaves."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 1),
    )  # fmt: skip
    given = dict(target=dict(macs=0.25, max_ratio=0.95), channel_divisor=1, seed=2)
    results = {}
    for spread in ('auto', *SPREADS):
        options = copy.deepcopy(given)
        options['target']['spread'] = spread
        results[spread] = prune(net, images, **options)
    taken = results['auto']
    assert taken.allocation.spread in SPREADS
    assert taken.plan == results[taken.allocation.spread].plan
    with torch.no_grad():
        errors = {
            spread: float((result.detector(images) - net(images)).square().mean())
            for spread, result in results.items()
        }
    assert len({round(error, 9) for error in errors.values()}) > 1  # they do differ
    assert errors['auto'] == pytest.approx(min(errors.values()), rel=1e-5)
