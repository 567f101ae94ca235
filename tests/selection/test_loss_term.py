"""What a term is given, and its weight."""

import math

import pytest
import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.selection.loss_term import Candidate, LossTerm


class Zero(LossTerm):
    def losses(self, candidate):
        return {'zero': torch.zeros(())}


def test_nothing_runs_before_it_is_asked_for_or_twice():
    ran = []

    def run(path):
        ran.append(path)
        return [torch.full((2,), float(len(ran)))]

    def read():
        ran.append('taps')
        return {'later': torch.ones(3)}

    candidate = Candidate({'b': None, 'a': None}, {}, None, None, run, read)
    assert ran == []
    assert candidate.first.tolist() == candidate.outputs('b')[0].tolist() == [1, 1]
    assert ran == ['b']
    assert candidate.outputs('a')[0].tolist() == [2, 2]
    assert candidate.taps['later'] is candidate.taps['later']
    assert ran == ['b', 'a', 'taps']


def test_a_scaled_term_is_another_one():
    term = Zero(0.5)
    assert (term.scaled(3.0).weight, term.weight, Zero().weight) == (1.5, 0.5, 1.0)
    assert isinstance(term.scaled(3.0), Zero)


@pytest.mark.parametrize('weight', [-0.1, math.nan, math.inf, '1', None, True])
def test_weights_out_of_range(weight):
    with pytest.raises(CompressionError, match=r'Zero\.weight='):
        Zero(weight)
