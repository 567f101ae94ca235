"""Sharing a cost out over the groups: remove what costs least for what it saves, until it fits.

Every group brings a list of removal costs, one for each further channel. The cheapest removal of
all groups, by cost over what it saves at that moment, is done first, then the next one (Group
Fisher Pruning, Liu et al., ICML 2021, section 3.4, ranks channels of all groups so). What a
removal saves is exact: as a group shrinks, the channels of its neighbours become cheaper.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import isotonic_regression

from mmdet_lcp.pruning.targets.cost_model import CostModel


def steps(channels: int, divisor: int, least: int) -> list[int]:
    """The numbers of channels that a group may have, falling.

    Args:
        channels: all of them, the first number.
        divisor: the others are multiples of this, >= 1.
        least: and not below this, >= 1.
    """
    largest = (channels - 1) // divisor * divisor
    smallest = max(-(-least // divisor) * divisor, divisor)
    return [channels, *range(largest, smallest - 1, -divisor)]


def smallest(channels: int, divisor: int, least: int, max_ratio: float) -> int:
    """The least number of channels that a group may have; ``channels`` if it must stay whole.

    Args:
        channels: all of them.
        divisor: the number is a multiple of this.
        least: and not below this.
        max_ratio: at most so large a part goes, in (0, 1).
    """
    # 10 * (1 - 0.9) is 0.99999999999999978 in binary
    by_ratio = math.ceil(channels * (1 - max_ratio) - 1e-9)
    return steps(channels, divisor, max(least, by_ratio))[-1]


def rising(costs: Sequence[float]) -> np.ndarray:
    """Removal costs without dips: a dear removal and the cheap ones behind it share their cost.

    Least squares under the order, so that sums over whole shares stay. These are the slopes of the
    largest convex function below the running sum: going on over a dear removal pays where the
    whole piece is cheap. What is below nothing becomes nothing.

    Args:
        costs: in order of removal.

    Returns:
        Never falling, >= 0; (len(costs),), float64.
    """
    costs = np.asarray(costs, dtype=np.float64)
    return isotonic_regression(costs).x.clip(min=0) if len(costs) else costs


def damages(
    choices: Sequence[Sequence[int]], costs: Sequence[Sequence[float]]
) -> list[np.ndarray]:
    """What each choice of each group costs: the sum of its removals, without dips (`rising`).

    Args:
        choices: for each group the numbers of channels that it may have, falling.
        costs: for each group its removal costs.

    Returns:
        For each group an array of as many numbers as it has choices, never falling, from 0.
    """
    sums = [np.concatenate([[0.0], rising(own).cumsum()]) for own in costs]
    return [
        own[[some[0] - count for count in some]] for own, some in zip(sums, choices, strict=True)
    ]


def allocate(
    model: CostModel,
    choices: Sequence[Sequence[int]],
    costs: Sequence[Sequence[float]],
    budget: float,
    priced: bool = False,
) -> list[int]:
    """Numbers of channels that fit a budget, at the least cost that single steps find.

    At the end removals that turn out not to be needed are taken back, the dearest first, so that
    no single step that was taken could be spared.

    Args:
        model: what the detector costs at any numbers of channels.
        choices: for each group the numbers that it may have, falling (`steps`).
        costs: for each group its removal costs, at least as many as channels can go.
        budget: the largest total.
        priced: whether the costs are divided by what a removal saves already.

    Returns:
        The number of channels of each group. Where the budget is below the total of the smallest
        numbers, these.
    """
    sums = damages(choices, costs)
    at = [0] * len(choices)  # each group's place among its choices
    counts = [own[0] for own in choices]

    def damage(group: int, place: int) -> float:
        """Cost of the step to a place from the one before."""
        return float(sums[group][place] - sums[group][place - 1])

    def price(group: int) -> float:
        """Of the next step, for what it saves; infinite where there is none."""
        place = at[group] + 1
        if place == len(choices[group]):
            return math.inf
        after = choices[group][place]
        if priced:
            return damage(group, place) / (counts[group] - after)
        saved = -model.change(counts, group, after)
        # What saves nothing comes last, but before giving up.
        return damage(group, place) / saved if saved > 0 else 1e300

    def move(group: int, by: int) -> None:
        nonlocal total
        after = choices[group][at[group] + by]
        total += model.change(counts, group, after)
        counts[group] = after
        at[group] += by

    total = model.total(counts)
    prices = [price(group) for group in range(len(choices))]
    while total > budget and any(map(math.isfinite, prices)):
        group = min(range(len(choices)), key=prices.__getitem__)
        move(group, +1)
        for other in model.neighbours(group):
            prices[other] = price(other)
    while True:
        spared = []
        for group, place in enumerate(at):
            if place:
                more = model.change(counts, group, choices[group][place - 1])
                if total + more <= budget:
                    worth = damage(group, place) / (1 if priced or more <= 0 else more)
                    spared.append((worth, -group))
        if not spared:
            return counts
        move(-max(spared)[1], -1)
