"""Running statistics after pruning: kept, taken anew, or whichever has the smaller loss."""

import pytest
import torch
from torch import nn

from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.norm_statistics import settle_statistics


class Detector(nn.Module):
    """One batch norm; the loss is the mean square of its output less a target."""

    def __init__(self, target):
        super().__init__()
        self.norm = nn.BatchNorm2d(2, momentum=0.3)
        self.drop = nn.Dropout(0.5)
        self.target = target

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.drop(self.norm(inputs))

    def loss(self, inputs, data_samples):
        return dict(loss=(self(inputs) - self.target).square().mean())

    def parse_losses(self, losses):
        return losses['loss'], losses


def batches():
    torch.manual_seed(0)
    return [SelectionImages(torch.randn(4, 2, 3, 3) * 2 + 5, None) for _ in range(3)]


def means(images):
    return torch.stack([b.inputs.mean((0, 2, 3)) for b in images]).mean(0)


def test_recalibrate_takes_the_mean_over_batches():
    images, detector = batches(), Detector(0.0).train()
    settle_statistics(detector, images, 'recalibrate')
    variance = torch.stack([b.inputs.var((0, 2, 3)) for b in images]).mean(0)
    torch.testing.assert_close(detector.norm.running_mean, means(images))
    torch.testing.assert_close(detector.norm.running_var, variance)
    assert detector.norm.momentum == 0.3
    assert detector.training and detector.drop.training


def test_keep():
    detector = Detector(0.0)
    assert settle_statistics(detector, batches(), 'keep') == {}
    assert detector.norm.running_mean.abs().max() == 0


@pytest.mark.parametrize(('target', 'recalibrated'), [(0.0, True), (5.0, False)])
def test_best_takes_the_smaller_loss(target, recalibrated):
    """With a target of 5 the untouched statistics (mean 0) fit these images better."""
    images, detector = batches(), Detector(target)
    log = settle_statistics(detector, images, 'best')
    assert (log['loss_recalibrated'] < log['loss_kept']) == recalibrated
    expected = means(images) if recalibrated else torch.zeros(2)
    torch.testing.assert_close(detector.norm.running_mean, expected)
    kept = torch.stack([(b.inputs / (1 + 1e-5) ** 0.5 - target).square().mean() for b in images])
    assert log['loss_kept'] == pytest.approx(float(kept.mean()), rel=1e-5)
