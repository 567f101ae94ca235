"""Choices of one run, taken again in another."""

import pytest
import torch
from mmcv.ops import nms

from mmdet_lcp.graph.decisions import Decisions, OtherDecisionsError, without_decisions


def run(values: torch.Tensor, noted=None):
    """The scores of the best two, of what is above 0.5, the last flag, and a number."""
    decisions = Decisions(noted)
    with decisions:
        best = values[values.topk(2).indices]
        high = values[values > 0.5]
        flags = torch.zeros(4, dtype=torch.bool)
        flags[:2] = values[:2] > values[2:]
        number = int(values.argmax())
    return (best, high, flags, number), decisions.noted


def test_they_are_those_of_the_first_run():
    first = torch.tensor([0.9, 0.4, 0.6, 0.51])
    other = torch.tensor([0.1, 0.8, 0.55, 0.49])
    (best, high, flags, number), noted = run(first)
    assert best.tolist() == first[[0, 2]].tolist() and number == 0
    (best, high, flags, number), _ = run(other, noted)
    assert best.tolist() == other[[0, 2]].tolist()  # by the places of the first
    assert high.tolist() == other[[0, 2, 3]].tolist()
    assert flags.tolist() == [True, False, False, False]
    assert number == 0


def test_mmcvs_nms_out_of_pytorchs_sight():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    first, other = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0.8, 0.9, 0.7])
    with Decisions() as decisions:
        kept = nms(boxes, first, 0.5)[1]
    assert kept.tolist() == [0, 2]
    assert nms(boxes, other, 0.5)[1].tolist() == [1, 2]
    with Decisions(decisions.noted):
        assert nms(boxes, other, 0.5)[1].tolist() == [0, 2]


def test_another_run_is_told():
    _, noted = run(torch.rand(4))
    with pytest.raises(OtherDecisionsError), Decisions(noted):
        torch.rand(4).argsort()


def test_what_lies_along_channels_stays():
    """A maximum over windows says where it lies, channel by channel."""
    with Decisions() as decisions:
        torch.nn.functional.max_pool2d(torch.rand(1, 3, 4, 4), 2, return_indices=True)
    with Decisions(decisions.noted):
        x = torch.rand(1, 2, 4, 4)
        found, places = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
    assert places.shape == found.shape == (1, 2, 2, 2)
    assert torch.equal(x.flatten(2).gather(2, places.flatten(2)), found.flatten(2))


def test_what_is_set_aside_counts_for_nothing():
    decisions = Decisions()
    with decisions, decisions.aside():
        torch.rand(3).argmax()
    assert not decisions.noted
    values = {'a': [torch.ones(2), torch.ones(2, dtype=torch.int64)], 'b': torch.zeros(0)}
    assert [v.tolist() for v in without_decisions(values)] == [[1, 1]]
