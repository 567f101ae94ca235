"""Disjoint sets of channels, against sets in plain Python."""

import random

import torch

from mmdet_lcp.graph.ties import Ties


def test_random_ties_against_sets():
    random.seed(0)
    ties = Ties()
    channels = torch.cat([ties.fresh(30), ties.fresh(20)])
    assert channels.tolist() == list(range(1, 51))
    sets = {c: {c} for c in channels.tolist()}
    for _ in range(12):
        pairs = [(random.randint(0, 50), random.randint(0, 50)) for _ in range(3)]
        ties.tie(*torch.tensor(pairs).T)
        for a, b in pairs:
            if a and b and sets[a] is not sets[b]:
                sets[a] |= sets[b]
                for c in sets[b]:
                    sets[c] = sets[a]
        roots = ties.roots(torch.arange(51)).tolist()
        assert roots[0] == 0
        for a in range(1, 51):
            assert roots[a] == min(sets[a])
    assert ties.roots(torch.tensor([[50, 0], [1, 2]])).shape == (2, 2)


def test_reasons_go_along():
    ties = Ties()
    a, b, c, d = ties.fresh(4)
    ties.fix(torch.stack([a, torch.tensor(0)]), 'it is read')
    ties.fix(torch.stack([b, a]), 'it is an output')
    ties.tie(torch.stack([a, a]), torch.stack([c, c]))
    assert ties.reasons(int(c)) == ('it is read', 'it is an output')
    ties.tie(b[None], c[None])  # told twice, kept once
    assert ties.reasons(int(b)) == ('it is read', 'it is an output')
    assert ties.reasons(int(d)) == ()
    assert ties.reasons(0) == ()
