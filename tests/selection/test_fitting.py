"""Images that fit a network, and such that do not."""

import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.selection.fitting import check_runs, check_type

IMAGES = torch.zeros(2, 3, 4, 4)
COLOUR = nn.Conv2d(3, 2, 1)
GREY = nn.Conv2d(1, 2, 1)
FIXED = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(32, 2))


@pytest.mark.parametrize(
    ('images', 'network', 'words'),
    [
        (
            IMAGES.double(),
            COLOUR,
            r'images: they are torch\.float64, .* network are torch\.float32',
        ),
        (IMAGES.byte(), COLOUR, r'they are torch\.uint8, .* preprocessed, as in training'),
        (IMAGES.half(), COLOUR, r'they are torch\.float16, .* Give images\.to\(torch\.float32\)'),
        (IMAGES, GREY, 'images: they have 3 channels, and the first .* of the Conv2d reads 1'),
        (IMAGES[:, :1], COLOUR, 'images: they have 1 channels, and the first .* Conv2d reads 3'),
        (IMAGES.to('meta'), COLOUR, "images: tensors on the device 'meta' have no values"),
        (
            torch.zeros(1, 3, 8, 8),
            FIXED,
            r'does not run on one of shape \(1, 3, 8, 8\)',
        ),
    ],
)
def test_what_does_not_fit(images, network, words):
    with pytest.raises(CompressionError, match=words):
        check_type(network, images)
        check_runs(network, images)


def test_statistics_and_mode_stay():
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).train()
    check_type(net, IMAGES)
    check_runs(net, IMAGES + 5)
    assert net[1].training and int(net[1].num_batches_tracked) == 0
