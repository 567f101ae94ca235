"""Which terms the config asks for, in which order and with which weights."""

import pytest
import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.problem import LossTerm, Objective, Reconstruction


class Named(LossTerm):
    def losses(self, candidate):
        return {'named': torch.zeros(())}


def weights(terms) -> list[tuple[type, float]]:
    return [(type(term), term.weight) for term in terms]


def test_alpha_weighs_what_is_attached_alone():
    own, attached = Named(3.0), Named(0.5)
    objective = Objective(reconstruction=0.7, alpha=2.0, terms=[own])
    terms = objective.all_terms([attached, Named()])
    assert weights(terms) == [(Reconstruction, 0.7), (Named, 1.0), (Named, 2.0), (Named, 3.0)]
    assert terms[-1] is own and attached.weight == 0.5  # the attached one was copied
    assert weights(Objective().all_terms()) == [(Reconstruction, 1.0)]


def test_where_nothing_trains_along():
    own = Named(3.0)
    for given, factor in ((0.7, 0.7), (0.0, 1.0)):
        alone = Objective(reconstruction=given, alpha=2.0, terms=[own]).alone()
        assert (alone.reconstruction, alone.alpha, alone.terms) == (factor, 0.0, (own,))


def test_terms_out_of_a_config():
    (term,) = Objective(terms=[dict(type='Reconstruction', weight=0.2)]).terms
    assert isinstance(term, Reconstruction) and term.weight == 0.2
    with pytest.raises(CompressionError, match=r'pruning\.objective\.terms=.* must be a list'):
        Objective(terms=dict(type='Reconstruction'))
    with pytest.raises(CompressionError, match=r"terms\[1\] must be a dict with a 'type'"):
        Objective(terms=[Named(), 'Named'])


def test_own_terms_are_something_to_score_by():
    Objective(reconstruction=0.0, alpha=0.0, terms=[Named()])
    with pytest.raises(CompressionError, match='both 0'):
        Objective(reconstruction=0.0, alpha=0.0)
