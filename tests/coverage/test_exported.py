"""ONNX Runtime and PyTorch order near-equal scores by themselves."""

import pytest
import torch
from mmcv.ops import ModulatedDeformConv2dPack
from torch import nn

from mmdet_lcp.coverage.bench import largest_difference
from mmdet_lcp.coverage.exported import GivenChoices, OtherChoicesError, export

IMAGES = torch.linspace(-1, 1, 3 * 8 * 8).view(1, 3, 8, 8)


class Queries(nn.Module):
    """The k-th best place gives the k-th query, so that all hangs on the order."""

    def __init__(self, same: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        self.queries = nn.Parameter(torch.arange(1.0, 65))
        self.same = same

    def forward(self, images):
        scores = self.conv(images).flatten(1)
        if self.same:
            scores = scores * 1e-12 + 1  # all alike
        best, places = scores.topk(60, 1)
        return images.mean(1).flatten(1).gather(1, places) * self.queries[:60], best


@pytest.mark.parametrize('same', [True, False])
def test_ties_are_chosen_alike(same, monkeypatch):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    torch.manual_seed(0)
    size, difference, chosen = export(Queries(same), IMAGES, largest_difference)
    assert size > 100 and difference < 1e-5
    # PyTorch takes any of what ties, ONNX Runtime the first.
    assert chosen == same


SCORES = torch.tensor([[3.0, 1.0, 2.0, 2.0001]])


def test_given_choices():
    with GivenChoices([torch.tensor([[0, 2]]), torch.tensor([[1, 3, 2, 0]])]) as given:
        best, places = SCORES.topk(2)
        ordered, order = SCORES.sort(-1)
        given.check_all_taken()
    assert best.tolist() == [[3, 2]] and places.tolist() == [[0, 2]]
    assert ordered.tolist()[0] == SCORES[0, [1, 3, 2, 0]].tolist() and order[0, 0] == 1


@pytest.mark.parametrize(
    ('indices', 'words'),
    [([[0, 1]], 'worse'), ([[0]], 'otherwise'), (None, 'otherwise')],
)
def test_choices_that_are_no_ties(indices, words):
    given = [] if indices is None else [torch.tensor(indices)]
    with pytest.raises(OtherChoicesError, match=words), GivenChoices(given):
        SCORES.topk(2)


def test_choices_that_are_left():
    with pytest.raises(OtherChoicesError, match='more often'):
        GivenChoices([torch.zeros(1)]).check_all_taken()


def test_a_deformable_convolution():
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    torch.manual_seed(0)
    net = ModulatedDeformConv2dPack(3, 4, 3, padding=1)
    torch.nn.init.normal_(net.conv_offset.weight, 0, 0.3)
    size, difference, chosen = export(net, IMAGES, largest_difference)
    assert size > 100 and difference < 1e-5 and not chosen
