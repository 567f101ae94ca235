"""The integer programme against brute force over all choices."""

import itertools
import random
import time

import numpy as np
import pytest

from mmdet_lcp.pruning.targets import integer
from mmdet_lcp.pruning.targets.allocation import allocate, steps
from mmdet_lcp.pruning.targets.cost_model import CostModel, Term, Width, macs_model
from mmdet_lcp.pruning.targets.integer import improve, total_damage

from .test_allocation import chain


def brute(model, choices, costs, budget) -> float:
    """The least damage of all numbers that fit."""
    sums = [np.concatenate([[0.0], np.cumsum(own)]) for own in costs]
    return min(
        sum(own[some[0] - n] for own, some, n in zip(sums, choices, counts, strict=True))
        for counts in itertools.product(*choices)
        if model.total(counts) <= budget
    )


def random_costs(choices, seed: int) -> list[np.ndarray]:
    """Rising, of very different size from group to group."""
    draw = np.random.default_rng(seed)
    return [np.sort(draw.random(some[0])) * draw.choice([0.1, 1, 10]) for some in choices]


def concat() -> CostModel:
    """Two groups side by side that a third one reads, and itself: terms of three groups."""
    terms = [
        Term(lambda i, o: i * o, Width(3), Width(0, ((0, 1),)), 'a'),
        Term(lambda i, o: i * o, Width(3), Width(0, ((1, 1),)), 'b'),
        Term(lambda i, o: 2 * i * o, Width(1, ((0, 1), (1, 2))), Width(0, ((2, 1),)), 'c'),
        Term(lambda i, o: i * o, Width(0, ((2, 1),)), Width(1, ((2, 1),)), 'd'),
    ]
    return CostModel(7, terms, 3)


def stepped() -> CostModel:
    """Milliseconds that jump: an odd number of inputs takes half as long again."""

    def ms(ins, outs):
        return ins * outs * (1.5 if ins % 2 else 1.0) + 5

    axes = [Width(3), *(Width(0, ((g, 1),)) for g in range(3)), Width(4)]
    return CostModel(2, [Term(ms, a, b) for a, b in itertools.pairwise(axes)], 3)


@pytest.mark.parametrize('make', [lambda: chain([6, 6, 6]), concat, stepped])
@pytest.mark.parametrize('share', [0.1, 0.3, 0.7])
@pytest.mark.parametrize('seed', range(4))
def test_finds_the_optimum(make, share, seed):
    model = make()
    choices = [steps(6, 1, 1)] * 3
    costs = random_costs(choices, seed)
    least, most = model.total([2, 1, 2]), model.total([6, 6, 6])
    budget = least + share * (most - least)
    start = allocate(model, choices, costs, budget)
    assert model.total(start) <= budget
    found = improve(model, choices, costs, budget, start)
    assert model.total(found) <= budget
    expected = brute(model, choices, costs, budget)
    assert total_damage(choices, costs, found) == pytest.approx(expected, rel=1e-3)


def test_is_better_than_greed_somewhere():
    """And never worse."""
    model, choices = chain([6, 6, 6]), [steps(6, 1, 1)] * 3
    gains = []
    for seed in range(8):
        costs = random_costs(choices, seed)
        budget = 0.45 * model.total([6, 6, 6])
        start = allocate(model, choices, costs, budget)
        found = improve(model, choices, costs, budget, start)
        pair = [total_damage(choices, costs, counts) for counts in (start, found)]
        assert pair[1] <= pair[0] + 1e-12
        gains.append(pair[0] - pair[1])
    assert max(gains) > 0


@pytest.mark.parametrize('seed', range(3))
def test_groups_of_many_channels(seed):
    """In rounds, from coarse to fine: never worse than greed, and it fits."""
    widths = [64, 128, 256, 256, 128]
    model = chain(widths)
    choices = [steps(width, 8 if seed else 1, width // 5) for width in widths]
    costs = random_costs(choices, seed)
    budget = 0.4 * model.total(widths)
    start = allocate(model, choices, costs, budget)
    began = time.process_time()
    found = improve(model, choices, costs, budget, start)
    assert time.process_time() - began < 20
    assert model.total(found) <= budget
    assert all(n in some for n, some in zip(found, choices, strict=True))
    assert total_damage(choices, costs, found) <= total_damage(choices, costs, start)


def test_one_step_more_of_any_group_and_one_less_of_another_is_no_better():
    """Exchanges of single steps, which the last round looks at, do not pay any more."""
    widths = [48, 96, 96]
    model, choices = chain(widths), [steps(width, 1, 10) for width in widths]
    costs = random_costs(choices, 5)
    budget = 0.5 * model.total(widths)
    found = improve(model, choices, costs, budget, allocate(model, choices, costs, budget))
    least = total_damage(choices, costs, found)
    for change in itertools.product((-2, -1, 0, 1, 2), repeat=3):
        counts = [n + by for n, by in zip(found, change, strict=True)]
        inside = all(n in some for n, some in zip(counts, choices, strict=True))
        if inside and model.total(counts) <= budget:
            assert total_damage(choices, costs, counts) >= least * (1 - 1e-3)


def test_what_cannot_be_solved_in_time_stays(monkeypatch):
    monkeypatch.setattr(integer, 'milp', lambda *_, **__: type('Result', (), {'x': None}))
    model, choices = chain([6, 6, 6]), [steps(6, 1, 1)] * 3
    costs = random_costs(choices, 0)
    budget = 0.4 * model.total([6, 6, 6])
    start = allocate(model, choices, costs, budget)
    assert improve(model, choices, costs, budget, start) == start


def test_a_real_detector(vgg):
    """Residual and shared layers and all: what it says fits, fits the model."""
    model = macs_model(vgg.detector, vgg.groups, vgg.size)
    choices = [steps(n, 8, max(1, n // 5)) for n in vgg.channels]
    draw = random.Random(0)
    costs = [sorted(draw.random() for _ in range(n)) for n in vgg.channels]
    budget = 0.4 * model.total(vgg.channels)
    start = allocate(model, choices, costs, budget)
    found = improve(model, choices, costs, budget, start)
    assert model.total(found) <= budget
    assert total_damage(choices, costs, found) <= total_damage(choices, costs, start)
