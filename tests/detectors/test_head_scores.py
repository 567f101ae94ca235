"""How heads of mmdet mean their scores."""

import pytest
from made_detectors import HEADS, build, ssd_config
from torch import nn

from mmdet_lcp.detectors.head_scores import has_sigmoid, writes_probabilities


@pytest.mark.parametrize('name', HEADS)
def test_heads_of_one_stage(name):
    """All of them have sigmoids, which SSD has not."""
    assert has_sigmoid(build(HEADS[name]).bbox_head, unless_told=False)


def test_ssd():
    assert not has_sigmoid(build(ssd_config()).bbox_head, unless_told=False)


@pytest.mark.parametrize('answer', [True, False])
def test_a_head_that_says_nothing(answer):
    assert has_sigmoid(nn.Identity(), unless_told=answer) is answer


def test_the_loss_says_it():
    head = nn.Module()
    head.loss_cls = nn.Module()
    head.loss_cls.use_sigmoid = True
    assert has_sigmoid(head, unless_told=False)


def test_probabilities():
    assert {name for name in HEADS if writes_probabilities(build(HEADS[name]).bbox_head)} == {
        'TOOD'
    }
