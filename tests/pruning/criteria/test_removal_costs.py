"""What channels cost to remove, worked out apart from the criteria's own selection."""

import numpy as np
import producers
import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import (
    DCP,
    FPGM,
    LCP,
    BackwardElimination,
    BNScale,
    Criterion,
    GroupFisher,
    L1Norm,
    L2Norm,
    RandomChannels,
    Taylor,
    ThiNet,
)


class Table(Criterion):
    """A criterion without costs."""

    def select(self, problem, keep):
        raise NotImplementedError


def test_a_criterion_without_costs(make_problem):
    with pytest.raises(CompressionError, match=r'criterion Table .* Give pruning\.ratio'):
        Table().removal_costs(make_problem().problem, 1)


@pytest.mark.parametrize('least', [1, 3, 5])
def test_norms_cost_their_share_of_what_is_left(least):
    maps = producers.three_producers()
    problem = producers.make(maps, 5)
    scores = np.zeros(5)
    for k, weights, _ in producers.filters(maps):
        scores[k] += np.abs(weights).sum()
    expected, left = [], sorted(scores)
    while len(left) > least:
        expected.append(len(maps) * left[0] / sum(left))  # each layer loses this share
        left = left[1:]
    found = L1Norm().removal_costs(problem, least)
    assert found.dtype == torch.float64 and found.shape == (5 - least,)
    assert np.allclose(found.numpy(), expected, rtol=1e-6)


def test_ten_times_the_weights_cost_as_much():
    maps = producers.three_producers()
    before = [c.removal_costs(producers.make(maps, 5), 1) for c in (L2Norm(), FPGM())]
    for module, _, _ in maps.values():
        module.weight.data *= 10
    after = [c.removal_costs(producers.make(maps, 5), 1) for c in (L2Norm(), FPGM())]
    for one, other in zip(before, after, strict=True):
        assert torch.allclose(one, other)


def test_batch_norm_scales():
    norm = nn.BatchNorm2d(4)
    norm.weight.data = torch.tensor([0.3, -2.0, 0.1, 0.0])
    maps = {'conv': (nn.Conv2d(3, 4, 1), [0, 1, 2, 3], [0, 1, 2, 3])}
    problem = producers.make(maps, 4, {'bn': (norm, [0, 1, 2, 3], [0, 1, 2, 3])})
    found = BNScale().removal_costs(problem, 1)
    assert found.tolist() == pytest.approx([0.0, 0.1 / 2.4, 0.3 / 2.3])


def test_all_zero_scores_cost_nothing():
    maps = {'conv': (nn.Conv2d(3, 4, 1), [0, 1, 2, 3], [0, 1, 2, 3])}
    maps['conv'][0].weight.data.zero_()
    assert L1Norm().removal_costs(producers.make(maps, 4), 1).tolist() == [0.0, 0.0, 0.0]


def test_scores_that_are_not_finite():
    maps = {'conv': (nn.Conv2d(3, 4, 1), [0, 1, 2, 3], [0, 1, 2, 3])}
    maps['conv'][0].weight.data[2] = torch.nan
    with pytest.raises(CompressionError, match=r'some\.group: .* not finite'):
        L1Norm().removal_costs(producers.make(maps, 4), 1)


def test_random_channels_do_not_follow_what_was_drawn_before():
    maps = producers.three_producers()
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(RandomChannels().removal_costs(producers.make(maps, 5, seed=3), 1))
    assert torch.equal(*found)
    assert (found[0].diff() >= 0).all()


@pytest.mark.parametrize(('criterion', 'power'), [(LCP(), 1.0), (DCP(), 0.5)])
def test_gradients_with_all_channels_at_zero(make_problem, quadratic, criterion, power):
    made = make_problem(auxiliary=quadratic(), alpha=0.0)
    zero = made.zeroed(made.problem.weights(), [])
    scores = np.array(made.sensitivity(zero, terms=('re',))) ** power
    left = np.sort(scores)
    expected = [left[k] / left[k:].sum() for k in range(3)]
    assert np.allclose(criterion.removal_costs(made.problem, 2).numpy(), expected, rtol=1e-9)


class TestBackwardElimination:
    @pytest.mark.parametrize('metric', ['identity', 'variance'])
    def test_their_sums_are_the_costs_of_selections(self, make_problem, metric):
        """Down to any number of channels, in the order of the elimination."""
        problem = make_problem().problem
        criterion = BackwardElimination(ridge=1e-3, metric=metric)
        costs = criterion.removal_costs(problem, 1)
        for keep in (4, 3, 2, 1):
            selected = criterion.select(problem, keep)
            assert float(costs[: 5 - keep].sum()) == pytest.approx(selected.log['cost'])

    def test_a_dear_position_counts_as_often_as_there_are_positions(self, make_problem):
        """One consumer at a time: its costs are those of a selection times its positions."""
        made = make_problem()
        every = made.problem.consumers
        # (4, 6, 5), (3, 3, 2) and a linear layer's single row
        positions = {'conv': 6 * 5, 'cat': 3 * 2, 'fc': 1}
        for path, layer in every.items():
            made.problem.consumers = {path: layer}
            out = layer.module.weight.shape[0]
            made.problem.metrics = {path: torch.eye(out, dtype=torch.float64)}
            made.problem.inputs_changed()
            criterion = BackwardElimination(ridge=1e-3, metric='gradient')
            costs = criterion.removal_costs(made.problem, 2)
            cost = criterion.select(made.problem, 2).log['cost']
            assert float(costs.sum()) == pytest.approx(positions[path] * cost), path
        made.problem.consumers = every

    def test_a_quadratic_loss_grows_by_the_costs(self):
        """1/2 E|g.dy|^2 summed over positions: the loss that the metric stands for."""
        generator = torch.Generator().manual_seed(0)
        conv = nn.Conv2d(4, 3, 1, bias=False).double()
        x = torch.randn(6, 4, 5, 5, generator=generator, dtype=torch.float64)
        y = conv(x).detach()
        metric = torch.randn(3, 3, generator=generator, dtype=torch.float64)
        metric = metric @ metric.T

        from mmdet_lcp.pruning.problem.problem import BatchCache, Layer, SelectionProblem
        from mmdet_lcp.pruning.problem.selection_batch import SelectionBatch
        from mmdet_lcp.selection.positions import Positions

        problem = SelectionProblem(
            name='group',
            channels=4,
            consumers={'conv': Layer(conv, torch.arange(4), torch.arange(4))},
            producers={},
            batches=BatchCache(lambda: iter([SelectionBatch({'conv': x}, {'conv': y}, None)])),
            positions=Positions(objects=0.0),
            metrics={'conv': metric},
        )
        criterion = BackwardElimination(ridge=1e-9, metric='gradient')
        costs = criterion.removal_costs(problem, 2)
        order = np.argsort(criterion.select(problem, 2).scores)[:2]
        rows = x.permute(0, 2, 3, 1).reshape(-1, 4).numpy()
        targets = y.permute(0, 2, 3, 1).reshape(-1, 3).numpy()
        for gone in (1, 2):
            kept = [k for k in range(4) if k not in order[:gone]]
            kernel = np.linalg.lstsq(rows[:, kept], targets, rcond=None)[0]
            error = targets - rows[:, kept] @ kernel
            loss = np.einsum('io,op,ip->i', error, metric.numpy(), error).sum() / 6  # an image
            assert float(costs[:gone].sum()) == pytest.approx(loss, rel=1e-5)


def test_thinet_by_brute_force(make_problem):
    """Of every prefix of the order: the square of what all its channels contribute together."""
    problem = make_problem(seed=1).problem
    criterion = ThiNet(samples_per_image=1000)
    costs = criterion.removal_costs(problem, 1).cumsum(0)
    order = np.argsort(criterion.select(problem, 1).scores)

    from mmdet_lcp.pruning.criteria.thinet_samples import sample_moments

    gram = sample_moments(problem, 1000).xx.numpy()
    for gone in range(1, 5):
        joint = sum(gram[i, j] for i in order[:gone] for j in order[:gone])
        assert float(costs[gone - 1]) == pytest.approx(joint / gram.sum())


def test_priced():
    assert GroupFisher('memory').priced
    for criterion in (GroupFisher('flops'), GroupFisher(None), Taylor(), BackwardElimination()):
        assert not criterion.priced


@pytest.mark.parametrize('criterion', [Taylor(), GroupFisher(None), GroupFisher('flops')])
def test_changes_of_the_loss_are_not_scaled(criterion, monkeypatch):
    scores = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)
    if isinstance(criterion, GroupFisher):
        monkeypatch.setattr(criterion, '_measure', lambda _: (scores, torch.tensor(5.0)))
    else:
        monkeypatch.setattr(criterion, 'scores', lambda _: scores)
    problem = Config(dict(name='group', channels=3))
    assert criterion.removal_costs(problem, 1).tolist() == [1.0, 2.0]


def test_memory_is_divided_by(monkeypatch):
    criterion = GroupFisher('memory')
    scores = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)
    monkeypatch.setattr(criterion, '_measure', lambda _: (scores, torch.tensor(5.0)))
    problem = Config(dict(name='group', channels=3))
    assert criterion.removal_costs(problem, 1).tolist() == pytest.approx([0.2, 0.4])
