"""Groups that a trace gets right and a forward pass gets wrong."""

import copy

import detectors
import torch
from torch import nn

from mmdet_lcp.graph import find_groups, verification


class Fixed(nn.Module):
    """Numbers of channels written into the forward pass, in several ways; the rest is right."""

    def __init__(self) -> None:
        super().__init__()
        self.right = nn.Conv2d(3, 6, 1)
        self.reshaped = nn.Conv2d(6, 6, 1)
        self.halved = nn.Conv2d(6, 6, 1)
        self.mean = nn.Conv2d(6, 6, 1)
        self.last = nn.Conv2d(6, 6, 1)
        self.out = nn.Conv2d(6, 2, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.right(inputs)
        x = self.reshaped(x)
        x = self.halved(x.view(len(x), 6, *x.shape[2:]))
        x = self.mean(x / x.shape[1])
        x = x / (1 + x.square().sum(1, keepdim=True) / 6).sqrt()
        return self.out(self.last(x))


def test_they_get_an_obstacle(monkeypatch):
    model = detectors.randomise(Fixed()).train()
    before = copy.deepcopy(model.state_dict())
    tries = []
    real = verification._problem
    monkeypatch.setattr(
        verification,
        '_problem',
        lambda detector, groups, image: (
            tries.append([g.name for g in groups]) or real(detector, groups, image)
        ),
    )
    groups = {group.name: group for group in find_groups(model, (5, 4))}
    assert groups['right'].obstacle is groups['last'].obstacle is None
    assert groups['mean'].obstacle is None  # a sum, that zeros add nothing to
    assert groups['reshaped'].obstacle.startswith(
        'without half of its channels the detector fails'
    )
    assert groups['halved'].obstacle == (
        'without half of its channels the detector computes something else than zeros do'
    )
    assert tries[0] == ['right', 'reshaped', 'halved', 'mean', 'last']
    assert len(tries) == 7  # all, then halves as long as they go wrong
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_groups_that_are_wrong_only_together():
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
            self.out = nn.Conv2d(8, 2, 1)

        def forward(self, inputs, data_samples=None, mode='tensor'):
            x = torch.cat([self.a(inputs), self.b(inputs)], 1)
            return self.out(x if x.shape[1] >= 6 else x * 2)

    groups = {group.name: group for group in find_groups(Halves(), (4, 4))}
    assert groups['a'].obstacle is None
    assert 'something else' in groups['b'].obstacle


def test_a_right_detector_is_tried_once(monkeypatch):
    tries = []
    real = verification._problem
    monkeypatch.setattr(
        verification, '_problem', lambda *args: tries.append(real(*args)) or tries[-1]
    )
    groups = find_groups(detectors.tiny_detector('cascade_rcnn'), (64, 64))
    assert tries == [None]
    assert sum(group.obstacle is None for group in groups) == 21
