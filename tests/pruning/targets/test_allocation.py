"""The greedy sharing out, against brute force and against steps that are written out."""

import itertools
import random

import numpy as np
import pytest

from mmdet_lcp.pruning.targets.allocation import allocate, rising, smallest, steps
from mmdet_lcp.pruning.targets.cost_model import CostModel, Term, Width, macs_model


def chain(widths, fixed=(3, 2)) -> CostModel:
    """Layers one behind the other: layer i reads group i - 1 and writes group i."""
    axes = [Width(fixed[0]), *(Width(0, ((g, 1),)) for g in range(len(widths))), Width(fixed[1])]
    terms = [Term(lambda i, o: i * o, a, b) for a, b in itertools.pairwise(axes)]
    return CostModel(10, terms, len(widths))


def separate(each) -> CostModel:
    """Groups that have nothing to do with each other; a channel of group g costs each[g]."""
    terms = [
        Term(lambda _, o, unit=unit: unit * o, Width(1), Width(0, ((g, 1),)))
        for g, unit in enumerate(each)
    ]
    return CostModel(0, terms, len(each))


@pytest.mark.parametrize(
    ('channels', 'divisor', 'least', 'expected'),
    [
        (5, 1, 1, [5, 4, 3, 2, 1]),
        (5, 1, 4, [5, 4]),
        (5, 1, 5, [5]),
        (64, 16, 1, [64, 48, 32, 16]),
        (64, 16, 17, [64, 48, 32]),
        (10, 8, 1, [10, 8]),
        (8, 8, 1, [8]),
        (7, 8, 1, [7]),
        (20, 8, 9, [20, 16]),
    ],
)
def test_steps(channels, divisor, least, expected):
    assert steps(channels, divisor, least) == expected


@pytest.mark.parametrize(
    ('channels', 'divisor', 'least', 'max_ratio', 'expected'),
    [
        (10, 1, 1, 0.9, 1),
        (100, 1, 1, 0.9, 10),
        (64, 1, 1, 0.75, 16),
        (64, 1, 20, 0.75, 20),
        (64, 8, 1, 0.9, 8),
        (64, 8, 1, 0.8, 16),  # 12.8 may not be undercut
        (5, 1, 1, 0.5, 3),
        (8, 8, 1, 0.9, 8),
        (12, 8, 9, 0.9, 12),
    ],
)
def test_smallest(channels, divisor, least, max_ratio, expected):
    assert smallest(channels, divisor, least, max_ratio) == expected


def test_rising_is_the_largest_convex_function_below():
    draw = np.random.default_rng(0)
    for _ in range(20):
        costs = draw.normal(1, 1, 7)
        sums = np.concatenate([[0], costs.cumsum()])
        # by definition: of all chords over a point the lowest
        below = [
            min(
                sums[i] if i == j else sums[i] + (sums[j] - sums[i]) * (k - i) / (j - i)
                for i in range(k + 1)
                for j in range(k, 8)
            )
            for k in range(8)
        ]
        assert np.allclose(rising(costs), np.diff(below).clip(min=0))
    assert rising([]).tolist() == []


def test_the_best_of_all_where_steps_save_alike():
    """Then the greedy rule is optimal: brute force finds nothing cheaper within the budget."""
    draw = random.Random(0)
    for _ in range(30):
        channels = [4, 3, 4]
        costs = [sorted(draw.random() for _ in range(n - 1)) for n in channels]
        model = separate([1, 1, 1])
        choices = [steps(n, 1, 1) for n in channels]
        budget = draw.uniform(3, 11)
        counts = allocate(model, choices, costs, budget)
        damage = {
            tried: sum(sum(own[: n - c]) for own, n, c in zip(costs, channels, tried, strict=True))
            for tried in itertools.product(*choices)
            if sum(tried) <= budget
        }
        assert damage[tuple(counts)] == pytest.approx(min(damage.values()))


def naive(model, choices, costs, budget):
    """The rule in words: the step with the least cost for what it saves, until it fits."""
    counts = [own[0] for own in choices]

    def candidates(counts):
        for g, own in enumerate(choices):
            place = own.index(counts[g]) + 1
            if place < len(own):
                after = [*counts[:g], own[place], *counts[g + 1 :]]
                gone = [own[0] - counts[g], own[0] - own[place]]
                yield sum(costs[g][gone[0] : gone[1]]), after

    while model.total(counts) > budget:
        found = [
            (cost / (model.total(counts) - model.total(after)), number, after)
            for number, (cost, after) in enumerate(candidates(counts))
        ]
        if not found:
            break
        counts = min(found)[2]
    return counts


@pytest.mark.parametrize('divisor', [1, 2, 3])
def test_every_step_is_the_cheapest_for_what_it_saves(divisor):
    """In a chain, where each removal makes the neighbours' channels cheaper."""
    draw = random.Random(divisor)
    for _ in range(20):
        channels = [draw.randint(3, 9) for _ in range(4)]
        model = chain(channels)
        choices = [steps(n, divisor, 1) for n in channels]
        costs = [sorted(draw.random() for _ in range(n)) for n in channels]
        least = model.total([own[-1] for own in choices])
        whole = model.total(channels)
        budget = draw.uniform(least, whole)
        expected = naive(model, choices, costs, budget)
        counts = allocate(model, choices, costs, budget)
        assert model.total(counts) <= budget
        # what was spared at the end came on top of it
        assert all(n >= e for n, e in zip(counts, expected, strict=True))
        for group, own in enumerate(choices):
            place = own.index(counts[group])
            if place:
                more = list(counts)
                more[group] = own[place - 1]
                assert model.total(more) > budget


def test_a_removal_that_was_not_needed_is_taken_back():
    """The last one saves so much that the ones before were for nothing."""
    model = separate([1, 1, 10])
    choices = [[2, 1], [2, 1], [2, 1]]
    costs = [[0.1], [0.15], [2.0]]
    # prices 0.1, 0.15, 0.2: 24 -> 23 -> 22 -> 12; now 2 may come back, the dearest first
    assert allocate(model, choices, costs, 13) == [1, 2, 1]
    assert allocate(model, choices, costs, 14) == [2, 2, 1]
    assert allocate(model, choices, costs, 12) == [1, 1, 1]


def test_equal_prices_go_by_the_order_of_the_groups():
    model = separate([1, 1])
    assert allocate(model, [[3, 2, 1]] * 2, [[1.0, 1.0]] * 2, 5) == [2, 3]


def test_going_on_over_a_dear_removal():
    """Group 0: 3 and then nothing, 1.5 a channel; group 1: 2 for its only one."""
    model = separate([1, 1])
    assert allocate(model, [[3, 2, 1], [2, 1]], [[3.0, 0.0], [2.0]], 3) == [1, 2]


def test_priced_costs_are_not_divided_again():
    model = separate([10, 1])
    choices = [[3, 2, 1], [3, 2, 1]]
    costs = [[5.0, 5.0], [1.0, 1.0]]
    assert allocate(model, choices, costs, 32, priced=True) == [3, 2]
    assert allocate(model, choices, costs, 32) == [2, 3]


def test_what_saves_nothing_goes_last():
    model = separate([0, 1])
    assert allocate(model, [[2, 1], [3, 2, 1]], [[0.0], [9.0, 9.0]], 1) == [2, 1]


def test_a_budget_out_of_reach_gives_the_smallest():
    assert allocate(chain([4, 4]), [[4, 3], [4, 2]], [[1.0], [1.0, 1.0]], 0) == [3, 2]


def test_a_budget_that_asks_for_nothing():
    assert allocate(chain([4, 4]), [[4, 3], [4, 3]], [[1.0], [1.0]], 1e9) == [4, 4]


@pytest.mark.parametrize('divisor', [1, 8])
@pytest.mark.parametrize('share', [0.2, 0.5, 0.8])
def test_a_real_detector_within_a_step(vgg, share, divisor):
    model = macs_model(vgg.detector, vgg.groups, vgg.size)
    dense = model.total(vgg.channels)
    draw = np.random.default_rng(0)
    choices = [steps(n, divisor, max(1, n // 10)) for n in vgg.channels]
    costs = [draw.random(n) for n in vgg.channels]
    counts = allocate(model, choices, costs, share * dense)
    reached = model.total(counts) / dense
    assert reached <= share
    if divisor == 1:
        assert share - reached < 0.01
    for group, own in enumerate(choices):
        place = own.index(counts[group])
        assert place == 0 or reached + model.change(counts, group, own[place - 1]) / dense > share
    assert counts == allocate(model, choices, costs, share * dense)
