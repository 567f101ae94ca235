"""Criterion and update of a Python call, from whatever names one."""

import warnings

import pytest
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.components import criterion_of, update_of
from mmdet_lcp.pruning.criteria import DCP, LCP, L1Norm, ThiNet
from mmdet_lcp.pruning.updates import NoUpdate, SGDUpdate


@pytest.mark.parametrize(
    'given', ['L1Norm', 'mmdet_lcp.L1Norm', L1Norm, dict(type='L1Norm'), dict(type=L1Norm)]
)
def test_names_classes_and_dicts(given):
    assert type(criterion_of(given)) is L1Norm


def test_objects_stay_and_nothing_is_nothing():
    criterion, update = ThiNet(), SGDUpdate(passes=3)
    assert criterion_of(criterion) is criterion and update_of(update) is update
    assert criterion_of(None) is None and update_of(None) is None
    assert update_of(dict(type='SGDUpdate', passes=3)).passes == 3


@pytest.mark.parametrize(
    'given', [3, '', {}, dict(tpye='L1Norm'), NoUpdate(), NoUpdate, nn.ReLU(), nn.ReLU, ['L1Norm']]
)
def test_what_is_no_criterion(given):
    words = (
        r"^criterion=.* a name such as 'L1Norm', a dict such as .* an object such as L1Norm\(\)"
    )
    with pytest.raises(CompressionError, match=words):
        criterion_of(given)


@pytest.mark.parametrize('given', [3, '', L1Norm(), L1Norm])
def test_what_is_no_update(given):
    with pytest.raises(CompressionError, match=r'^update=.* an object such as ExactUpdate\(\)'):
        update_of(given)


def test_a_dict_of_another_class():
    with pytest.raises(CompressionError, match=r'^criterion=.* is no Criterion'):
        criterion_of(dict(type=nn.ReLU))


@pytest.mark.parametrize('given', ['LCP', 'DCP', LCP(), DCP(), dict(type='LCP')])
def test_criteria_with_an_auxiliary_network_warn(given):
    with pytest.warns(UserWarning, match='scores channels by the reconstruction error .* alone'):
        criterion_of(given)


def test_other_criteria_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        criterion_of('ThiNet')


def test_lcp_at_the_full_kernels_has_nothing_to_go_by():
    with pytest.raises(CompressionError, match="take reference='selected'"):
        criterion_of(dict(type='LCP', reference='full'))
