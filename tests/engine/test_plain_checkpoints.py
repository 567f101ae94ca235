"""Checkpoints hold the detector under its own names, and beside it what is attached."""

import pytest
import torch
from mmdet.models import DetDataPreprocessor
from torch import nn

from mmdet_lcp.auxiliary.attached_detector import AttachedDetector, Attachment
from mmdet_lcp.engine.plain_checkpoints import (
    ATTACHED,
    PlainCheckpoints,
    join_attached,
    part_attached,
    plain_detector,
)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.data_preprocessor = DetDataPreprocessor()
        self.backbone = nn.Conv2d(1, 2, 1)


class Extra(Attachment):
    name = 'extra'
    paths = ()

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def losses(self, taps, data_samples):
        return {}


@pytest.fixture
def model():
    return AttachedDetector(Detector(), {'extra': Extra()})


def checkpoint_of(model):
    return {'state_dict': {key: value.clone() for key, value in model.state_dict().items()}}


def test_parted_and_joined(model):
    saved = checkpoint_of(model)
    whole = dict(saved['state_dict'])
    part_attached(model, saved)
    assert list(saved['state_dict']) == list(model.detector.state_dict())
    assert list(saved[ATTACHED]) == [
        'attachments.extra.layer.weight',
        'attachments.extra.layer.bias',
    ]
    join_attached(model, saved)
    assert ATTACHED not in saved
    assert saved['state_dict'].keys() == whole.keys()
    assert all(torch.equal(value, whole[key]) for key, value in saved['state_dict'].items())
    model.load_state_dict(saved['state_dict'])


def test_a_detectors_own_checkpoint_leaves_the_rest(model):
    own = {key: value + 1 for key, value in model.detector.state_dict().items()}
    for saved in ({'state_dict': dict(own)}, dict(own)):
        join_attached(model, saved)
        model.load_state_dict(saved['state_dict'])
        for key, value in own.items():
            assert torch.equal(model.detector.state_dict()[key], value)


def test_without_anything_attached_nothing_changes():
    detector = Detector()
    saved = checkpoint_of(detector)
    before = dict(saved['state_dict'])
    part_attached(detector, saved)
    join_attached(detector, saved)
    assert saved == {'state_dict': before}


def test_hooks_see_the_whole(model):
    """An average of the weights is swapped into the checkpoint under the model's names."""
    seen = []

    class Runner:
        def call_hook(self, fn_name, checkpoint):
            seen.append((fn_name, list(checkpoint['state_dict'])))

    runner = type('Own', (PlainCheckpoints, Runner), {})()
    runner.model = model
    saved = checkpoint_of(model)
    runner.call_hook('before_save_checkpoint', checkpoint=saved)
    runner.call_hook('after_load_checkpoint', checkpoint=saved)
    assert seen == [
        ('before_save_checkpoint', list(model.state_dict())),
        ('after_load_checkpoint', list(model.state_dict())),
    ]


def test_plain_detector(model):
    assert plain_detector(model) is model.detector
    assert plain_detector(model.detector) is model.detector
