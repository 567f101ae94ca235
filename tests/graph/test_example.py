"""Example images: as many channels as the first convolution reads."""

import detectors
import pytest
import torch
from mmdet.models.backbones.csp_darknet import Focus
from torch import nn

from mmdet_lcp.graph.example import example_image, input_channels


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_channels_of_the_first_convolution(channels):
    net = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 5, 3), nn.Conv2d(5, 2, 1))
    assert input_channels(net) == channels
    image = example_image(net.double(), (6, 9))
    assert image.shape == (1, channels, 6, 9) and image.dtype == torch.float64
    assert not image.any()
    noise = example_image(net, (6, 9), torch.Generator().manual_seed(0))
    assert noise.std() > 0.5


@pytest.mark.parametrize('channels', [1, 3])
def test_a_folded_image_counts_unfolded(channels):
    """YOLOX's stem puts four pixels behind one another."""
    net = nn.Sequential(Focus(channels, 8))
    assert input_channels(net) == channels
    net(example_image(net, (8, 8)))


def test_the_backbone_is_looked_at():
    net = nn.Module()
    net.neck = nn.Conv2d(99, 2, 1)
    net.backbone = nn.Sequential(nn.Conv2d(4, 2, 1))
    assert input_channels(net) == 4
    assert input_channels(detectors.tiny_detector('yolox')) == 3
    assert input_channels(nn.Linear(7, 2)) == 3
