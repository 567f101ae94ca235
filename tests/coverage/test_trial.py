"""A step of a trial; the others are tried by the test of the tool."""

import pytest
import torch
from torch import nn

from mmdet_lcp.coverage.detectors import SupportedDetector
from mmdet_lcp.coverage.trial import Trial


@pytest.mark.parametrize(('factor', 'fails'), [(1e30, False), (float('inf'), True)])
def test_an_iteration_of_training(factor, fails, monkeypatch):
    """A step has a bounded length; a gradient that is not finite is told."""
    monkeypatch.setattr('mmdet_lcp.coverage.trial.tensor_forward', lambda net, x: net(x))
    monkeypatch.setattr('mmdet_lcp.coverage.trial.training_loss', lambda net, batch: net.loss())

    class Detector(nn.Conv2d):
        def loss(self):
            return self.weight.sum() * factor

    trial = Trial(SupportedDetector('D', 'd.py', 16))
    trial.reloaded = Detector(3, 1, 1, bias=False)
    before = trial.reloaded.weight.detach().clone()
    if fails:
        with pytest.raises(ValueError, match=r'the gradient of the loss .* is not finite'):
            trial._trained()
    else:
        trial._trained()
        step = before - trial.reloaded.weight.detach()
        assert torch.allclose(step, torch.full_like(step, 1e-4), rtol=1e-2)
