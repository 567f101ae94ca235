"""What cannot be taken apart into rows is told of before anything is trained."""

import dataclasses

import pytest
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup, Member
from mmdet_lcp.pruning.criteria import BackwardElimination, ThiNet
from mmdet_lcp.pruning.problem import consumers
from mmdet_lcp.pruning.updates import ChannelScaleUpdate, ExactUpdate, NoUpdate, SGDUpdate

WHO = {
    'pruning.criterion BackwardElimination': BackwardElimination(),
    'pruning.criterion ThiNet': ThiNet(),
    'pruning.update ExactUpdate': ExactUpdate(),
    'pruning.update ChannelScaleUpdate': ChannelScaleUpdate(),
}
CONSUMERS = {
    'conv': (nn.Conv2d(4, 2, 3, padding=1), True),
    'linear': (nn.Linear(4, 2), True),
    'strided': (nn.Conv2d(4, 2, 3, stride=2, dilation=2), True),
    'transposed': (nn.ConvTranspose2d(4, 2, 2), False),
    'reflected': (nn.Conv2d(4, 2, 3, padding=1, padding_mode='reflect'), False),
    'named padding': (nn.Conv2d(4, 2, 3, padding='same'), False),
    'one-dimensional': (nn.Conv1d(4, 2, 3), False),
}


def group_of(module):
    detector = nn.Sequential(nn.Conv2d(3, 4, 1), module)
    index = (0, 1, 2, 3)
    return detector, ChannelGroup(
        '0',
        4,
        (Member('0', 'out_channels', index, index),),
        (),
        (Member('1', 'in_channels', index, index),),
    )


@pytest.mark.parametrize(('module', 'right'), CONSUMERS.values(), ids=CONSUMERS)
@pytest.mark.parametrize('who', WHO)
def test_kinds_of_layers(who, module, right):
    if right:
        WHO[who].check(*group_of(module))
        return
    with pytest.raises(
        CompressionError, match=f'0: {who} knows linear layers.* but 1 is'
    ) as error:
        WHO[who].check(*group_of(module))
    assert 'pruning.layers' in str(error.value)
    for update in (NoUpdate(), SGDUpdate()):
        update.check(*group_of(module))


def test_too_large_for_the_memory(monkeypatch):
    detector, group = group_of(nn.Conv2d(4, 2, 5))  # 100 numbers under the kernel
    needed = 4 * 8 * 100**2
    for there, fits in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(consumers, '_memory', lambda device, there=there: there)
        for who in (BackwardElimination(), ExactUpdate()):
            if fits:
                who.check(detector, group)
                continue
            with pytest.raises(CompressionError, match='since 1 reads 100 numbers'):
                who.check(detector, group)
        ThiNet().check(detector, group)  # needs no more than one row a channel


def test_several_consumers_are_held_at_once(monkeypatch):
    detector, group = group_of(nn.Conv2d(4, 2, 5))
    detector.append(nn.Linear(4, 2))
    second = Member('2', 'in_channels', (0, 1, 2, 3), (0, 1, 2, 3))
    group = dataclasses.replace(group, consumers=(second, *group.consumers))
    needed = 8 * (3 * (100**2 + 4**2) + 100**2)
    monkeypatch.setattr(consumers, '_memory', lambda device: needed)
    ExactUpdate().check(detector, group)
    monkeypatch.setattr(consumers, '_memory', lambda device: needed - 1)
    with pytest.raises(CompressionError, match='since 1 reads 100 numbers'):
        ExactUpdate().check(detector, group)


def test_the_memory_of_this_machine():
    assert 2**28 < consumers._memory(nn.Linear(1, 1).weight.device) < 2**50
