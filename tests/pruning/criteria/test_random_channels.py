"""Random channels: by seed, and evenly."""

import torch
from producers import make

from mmdet_lcp.pruning.criteria import RandomChannels


def pick(seed, channels=12, keep=5):
    return RandomChannels().select(make({}, channels, seed=seed), keep).keep


def test_the_seed_alone_decides():
    torch.manual_seed(0)
    first = pick(3)
    torch.manual_seed(1)
    torch.rand(5)
    state = torch.get_rng_state()
    assert pick(3) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert len({tuple(pick(seed)) for seed in range(20)}) > 15
    assert len(pick(2**32 - 1)) == 5  # the largest that a run derives


def test_the_picks_are_those_of_the_scores():
    selection = RandomChannels().select(make({}, 12, seed=7), 5)
    assert len(set(selection.scores)) == 12
    left = set(range(12)) - set(selection.keep)
    assert min(selection.scores[k] for k in selection.keep) > max(
        selection.scores[k] for k in left
    )


def test_every_channel_has_the_same_chance():
    counts = torch.zeros(12)
    for seed in range(3000):
        counts[pick(seed)] += 1
    expected = 3000 * 5 / 12
    deviation = (3000 * 5 / 12 * 7 / 12) ** 0.5
    assert ((counts - expected).abs() < 5 * deviation).all()
