"""Dead channels, inputs that never change, too few positions: scores and kernels are numbers."""

import math

import pytest
import torch

from mmdet_lcp.pruning.criteria.backward_elimination import BackwardElimination
from mmdet_lcp.pruning.criteria.lcp import LCP
from mmdet_lcp.pruning.criteria.thinet import ThiNet
from mmdet_lcp.pruning.updates.exact import ExactUpdate
from mmdet_lcp.pruning.updates.sgd import SGDUpdate

CRITERIA = [LCP, ThiNet, BackwardElimination]
DEAD = [1, 3]


def with_inputs(made, change) -> None:
    """Change the group's channels in what every layer reads; the targets are those of before."""
    for inputs in made.inputs:
        for name, x in inputs.items():
            index, root = made.maps[name]
            for i, k in zip(index.tolist(), root.tolist(), strict=True):
                change(x[:, i], k)


def dead(x, channel) -> None:
    if channel in DEAD:
        x.zero_()


def constant(x, channel) -> None:
    x.fill_(0.1 * channel)


def kernels(made) -> dict[str, torch.Tensor]:
    return {name: layer.weight.detach().clone() for name, layer in made.layers.items()}


@pytest.mark.parametrize('criterion', CRITERIA)
def test_dead_channels_go_first(make_problem, criterion):
    made = make_problem(sizes=(3, 3))
    with_inputs(made, dead)
    selection = criterion().select(made.problem, 3)
    assert sorted(selection.keep) == [0, 2, 4]
    assert all(map(math.isfinite, selection.scores or []))


@pytest.mark.parametrize('update', [ExactUpdate, SGDUpdate])
@pytest.mark.parametrize('change', [dead, constant])
@pytest.mark.parametrize('criterion', CRITERIA)
def test_kernels_are_numbers_and_no_worse(make_problem, criterion, change, update):
    made = make_problem(sizes=(3, 3))
    with_inputs(made, change)
    keep = criterion().select(made.problem, 3).keep
    assert len(set(keep)) == 3
    before = made.zeroed(kernels(made), keep)
    log = update().apply(made.problem, keep)
    after = kernels(made)
    assert all(map(math.isfinite, log.values()))
    for name, weight in after.items():
        assert torch.isfinite(weight).all(), name
    kept = made.zeroed(after, keep)
    loss = [float(made.loss(weights, terms=('re',))) for weights in (before, kept)]
    assert loss[1] <= loss[0] * (1 + 1e-9)


@pytest.mark.parametrize('criterion', CRITERIA)
def test_one_image(make_problem, criterion):
    """Fewer positions than rows, and none to hold out."""
    made = make_problem(sizes=(1,))
    keep = criterion().select(made.problem, 2).keep
    ExactUpdate().apply(made.problem, keep)
    assert len(set(keep)) == 2
    assert all(torch.isfinite(layer.weight).all() for layer in made.layers.values())
