"""Groups that criterion or update cannot work on: told all at once, or left alone."""

import copy

import pytest
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import find_groups
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.criteria import BackwardElimination, BNScale, L1Norm
from mmdet_lcp.pruning.suited import attachable_stages, suited_stages
from mmdet_lcp.pruning.updates import ExactUpdate, NoUpdate


@pytest.fixture
def net():
    """Of its layers 0, 1, 2 and 3 the second and third read with padding of another kind."""

    def conv(mode):
        return nn.Conv2d(4, 4, 3, padding=1, padding_mode=mode)

    layers = [conv('zeros'), conv('reflect'), conv('circular'), conv('zeros')]
    return nn.Sequential(nn.Conv2d(3, 4, 1), *layers[1:], nn.Conv2d(4, 2, 1)).eval()


def suited(net, criterion, update, spare=False):
    stages = [Stage(g, 2, 2) for g in find_groups(net, (8, 8)) if g.obstacle is None]
    config = RemovalConfig(criterion=criterion, update=update, layers='.')
    found, unsuited = suited_stages(copy.deepcopy(net), stages, config, spare)
    return [stage.group.name for stage in found], {item.name: item.reason for item in unsuited}


def test_they_are_left_alone_with_the_reason(net):
    found, unsuited = suited(net, BackwardElimination(), ExactUpdate(), spare=True)
    assert found == ['2', '3'] and list(unsuited) == ['0', '1']
    assert 'but 1 is Conv2d(4, 4' in unsuited['0'] and 'padding_mode=circular' in unsuited['1']
    assert "criterion.type='L1Norm', pruning.update.type='NoUpdate'" in unsuited['0']


def test_they_are_told_all_at_once(net):
    with pytest.raises(CompressionError) as error:
        suited(net, BackwardElimination(), NoUpdate())
    lines = str(error.value).splitlines()
    assert lines[0] == 'criterion and update cannot work on all of the groups:'
    assert [line[:5] for line in lines[1:3]] == ['  0: ', '  1: '] and len(lines) == 4
    assert 'pruning.layers' in lines[3] and "pruning.criterion.type='L1Norm'" in lines[3]


def test_the_pair_that_is_recommended_works_on_them(net):
    assert suited(net, L1Norm(), NoUpdate()) == (['0', '1', '2', '3'], {})


class OnConvolutions:
    """What trains along where a convolution reads the group; of two groups at most."""

    def __init__(self, most=9):
        self.most = most

    def check(self, detector, stages):
        if len(stages) > self.most:
            raise CompressionError('too many groups')
        for stage in stages:
            if not isinstance(detector.get_submodule(stage.group.consumers[0].path), nn.Conv2d):
                raise CompressionError(f'{stage.group.name}: no convolution reads it')


def test_groups_that_the_attachment_cannot_serve():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 4), nn.Linear(4, 2),
    ).eval()  # fmt: skip
    stages = [Stage(g, 2, 2) for g in find_groups(net, (8, 8)) if g.obstacle is None]
    assert [stage.group.name for stage in stages] == ['0', '1', '4']
    served, left = attachable_stages(net, stages, OnConvolutions(), spare=True)
    assert [stage.group.name for stage in served] == ['0']
    assert {item.name: item.reason for item in left} == {
        name: f'{name}: no convolution reads it' for name in ('1', '4')
    }
    assert attachable_stages(net, stages[:1], OnConvolutions(), spare=False) == (stages[:1], [])
    with pytest.raises(CompressionError, match='1: no convolution'):
        attachable_stages(net, stages, OnConvolutions(), spare=False)
    with pytest.raises(CompressionError, match='1: no convolution'):  # not one is left
        attachable_stages(net, stages[1:], OnConvolutions(), spare=True)
    with pytest.raises(CompressionError, match='too many'):  # it is not about single groups
        attachable_stages(net, stages, OnConvolutions(most=0), spare=True)


def test_refusals_of_another_kind(net):
    with pytest.raises(CompressionError, match=r'0: the criterion BNScale[^\n]*\n1: the criter'):
        suited(net, BNScale(), NoUpdate())
