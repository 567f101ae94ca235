"""Buffers and plain attributes of modules, put aside and back."""

import collections
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmdet_lcp.training_mode.state import all_modules, state_put_aside


class Assigner:
    def __init__(self):
        self.threshold = 0.5
        self.seen = [1]


class Head(nn.Module):
    def __init__(self, assigner):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer('count', torch.zeros(2))
        self.register_buffer('absent', None)
        self.alias = self.count
        self.assigner = assigner
        self.history = [1, [2]]
        self.table = collections.OrderedDict(a=np.zeros(2))
        self.pair = (SimpleNamespace(value=1), 'x')
        self.queue = collections.deque([1], maxlen=2)
        self.number = 3
        self.logger = logging.getLogger('mmdet_lcp_test')
        self.learns = torch.ones(2, requires_grad=True)
        self.circle = [self.history]
        self.circle.append(self.circle)

    def change(self):
        self.count += 1
        self.absent = torch.ones(1)
        self.assigner.threshold = 0.9
        self.assigner.seen.append(2)
        self.history[1].append(3)
        self.history = []
        self.table['a'][0] = 5
        self.table['b'] = 1
        self.pair[0].value = 2
        self.queue.append(2)
        self.number += 1
        self.fresh = torch.ones(2)
        self.logger.level = 7
        self.part = nn.Linear(1, 1)


def seen(head: Head) -> dict:
    return dict(
        count=head.count.tolist(),
        absent=head.absent,
        threshold=head.assigner.threshold,
        seen=list(head.assigner.seen),
        history=repr(head.history),
        table={k: np.asarray(v).tolist() for k, v in head.table.items()},
        value=head.pair[0].value,
        queue=list(head.queue),
        number=head.number,
        names=sorted([*vars(head), *head._modules]),
    )


@pytest.mark.parametrize('fails', [False, True])
def test_all_is_as_before(fails):
    assigner = Assigner()
    heads = nn.ModuleList([Head(assigner), Head(assigner)])
    before = [seen(head) for head in heads]
    own = [dict(vars(head)) | dict(head._buffers) for head in heads]
    level = heads[0].logger.level
    try:
        with state_put_aside(all_modules(heads)):
            assert [seen(head) for head in heads] == before
            heads[0].change()
            assert seen(heads[0]) != before[0]
            assert heads[1].assigner.threshold == 0.9  # they share it still
            assert heads[0].alias is heads[0].count
            assert heads[0].circle[1] is heads[0].circle
            assert heads[0].logger.level == 7 and heads[0].logger is heads[1].logger
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert [seen(head) for head in heads] == before
    for head, known in zip(heads, own, strict=True):
        for name, value in known.items():
            assert (vars(head) | head._buffers)[name] is value  # the very same objects
    heads[0].logger.level = level


def test_parameters_are_not_copied():
    head = Head(Assigner())
    weight, learns = head.weight, head.learns
    with state_put_aside([head]):
        assert head.weight is weight and head.learns is learns
        head.weight.data += 1
    assert head.weight.tolist() == [2, 2]


def test_hidden_modules_are_found_once():
    teacher, student = nn.Sequential(nn.Linear(1, 1)), nn.Sequential(nn.ReLU())
    object.__setattr__(student, 'teacher', teacher)
    object.__setattr__(student, 'more', [teacher[0], nn.Tanh()])
    object.__setattr__(teacher, 'back', student)
    found = all_modules(student)
    assert found[0] is student and len(found) == len({id(module) for module in found}) == 5


def test_objects_stay_the_same_ones():
    """Who listens to an assigner hears the one that the head asks."""
    assigner = Assigner()
    head = Head(assigner)
    seen, history, table, queue = assigner.seen, head.history, head.table, head.queue
    with state_put_aside([head]):
        assert head.assigner is assigner and assigner.seen is seen
        assert head.history is history and head.table is table and head.queue is queue
        assert head.table['a'] is not None and head.count is head.alias
        seen.append(2)
        table['b'], table['a'] = 1, None
    assert seen == [1] and list(table) == ['a'] and table['a'].tolist() == [0, 0]


def test_a_buffer_that_a_later_backward_pass_reads():
    """It is not written to when the state comes back."""
    module = nn.BatchNorm1d(2, affine=False)
    weight = torch.ones(2, requires_grad=True)
    with state_put_aside([module]):
        module.running_mean += 3
        loss = (weight * module.running_mean).sum()
    loss.backward()
    assert weight.grad.tolist() == [3, 3] and module.running_mean.tolist() == [0, 0]
