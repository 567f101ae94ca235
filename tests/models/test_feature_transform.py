"""The transform of mimic, against PyTorch's own layers."""

import pytest
import torch
import torch.nn.functional as F

from mmdet_lcp import CompressionError
from mmdet_lcp.models import FeatureTransform


@pytest.fixture
def maps():
    return torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))


def test_conv(maps):
    transform = FeatureTransform(3, 8)
    expected = F.conv2d(maps, transform.conv.weight, transform.conv.bias, padding=1)
    assert transform(maps).shape == (2, 8, 5, 7)
    torch.testing.assert_close(transform(maps), expected)


def test_deconv(maps):
    transform = FeatureTransform(3, 8, 'deconv')
    up = F.conv_transpose2d(
        maps, transform.deconv.weight, transform.deconv.bias, stride=2, padding=1
    )
    assert up.shape[-2:] == (10, 14)
    expected = F.conv2d(up.relu(), transform.conv.weight, transform.conv.bias, padding=1)
    torch.testing.assert_close(transform(maps), expected)
    # what rounding of odd sizes leaves over is cut off before the convolution
    cut = F.conv2d(up.relu()[..., :9, :13], transform.conv.weight, transform.conv.bias, padding=1)
    torch.testing.assert_close(transform(maps, (9, 13)), cut)


def test_resize(maps):
    transform = FeatureTransform(3, 8, 'resize')
    for size, asked in (((10, 14), None), ((4, 20), (4, 20)), ((5, 7), (5, 7))):
        up = F.interpolate(maps, size=size, mode='bilinear', align_corners=False)
        expected = F.conv2d(up, transform.conv.weight, transform.conv.bias, padding=1)
        torch.testing.assert_close(transform(maps, asked), expected)


def test_none(maps):
    transform = FeatureTransform(3, 3, 'none')
    assert transform(maps) is maps
    assert not list(transform.parameters())


@pytest.mark.parametrize('kind', ['conv', 'deconv'])
def test_begins_with_the_inputs_mean_square(kind):
    torch.manual_seed(0)
    transform = FeatureTransform(64, 96, kind)
    transform.init_weights()
    found = transform(torch.randn(2, 64, 20, 20))
    assert 0.8 < float(found[..., 2:-2, 2:-2].square().mean()) < 1.2


def test_an_initialisation_of_ones_own():
    transform = FeatureTransform(
        4, 4, 'deconv', dict(type='Constant', layer=['ConvTranspose2d', 'Conv2d'], val=0.5)
    )
    transform.init_weights()
    assert (transform.deconv.weight == 0.5).all() and (transform.conv.weight == 0.5).all()


@pytest.mark.parametrize('keys, words', [
    (dict(kind='deconf'), "transform='deconf' is unknown"),
    (dict(kind='none'), "transform='none' leaves 3 channels, but 8"),
])  # fmt: skip
def test_bad_input(keys, words):
    with pytest.raises(CompressionError, match=words):
        FeatureTransform(3, 8, **keys)
