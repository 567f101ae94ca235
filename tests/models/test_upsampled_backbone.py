"""The backbone of the half-size form: plain mmdet around it, maps of the whole image's grid."""

import pytest
import torch
from mmdet.registry import MODELS

from mmdet_lcp import CompressionError

BACKBONE = dict(type='mmdet_lcp.NarrowVGG', width_mult=0.125, out_stages=(3, 4))


def make(**keys):
    config = dict(backbone=BACKBONE, in_channels=(32, 64), **keys)
    return MODELS.build(dict(type='mmdet_lcp.UpsampledBackbone', **config))


@pytest.mark.parametrize('transform', ['deconv', 'resize'])
def test_maps_have_the_grid_of_the_whole_image(transform):
    whole = MODELS.build(BACKBONE)(torch.zeros(1, 3, 64, 96))
    maps = make(transform=transform, out_channels=(40, 80))(torch.zeros(1, 3, 32, 48))
    assert [tuple(m.shape[1:]) for m in maps] == [(40, 16, 24), (80, 8, 12)]
    assert [m.shape[-2:] for m in maps] == [m.shape[-2:] for m in whole]


def test_is_the_backbone_and_a_transform():
    backbone = make().eval()
    image = torch.randn(2, 3, 32, 32)
    for found, level, transform in zip(
        backbone(image), backbone.backbone(image), backbone.transforms, strict=True
    ):
        torch.testing.assert_close(found, transform(level))


def test_its_parts_are_initialised():
    """A Kaiming start, as `FeatureTransform` says, where PyTorch's is a third of the variance."""
    torch.manual_seed(0)
    backbone = make(transform='resize', out_channels=(256, 256))
    backbone.init_weights()
    for transform, channels in zip(backbone.transforms, (32, 64), strict=True):
        variance = float(transform.conv.weight.var()) * 9 * channels
        assert 0.9 < variance < 1.1
        assert (transform.conv.bias == 0).all()


def test_gradients_reach_everything():
    backbone = make()
    sum(m.square().sum() for m in backbone(torch.randn(1, 3, 32, 32))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in backbone.parameters())


def test_channels_that_the_backbone_does_not_give():
    config = dict(type='mmdet_lcp.UpsampledBackbone', backbone=BACKBONE, in_channels=(32, 32))
    with pytest.raises(CompressionError, match=r'in_channels=\(32, 32\).*\(32, 64\)'):
        MODELS.build(config)(torch.zeros(1, 3, 32, 32))


def test_bad_input():
    with pytest.raises(CompressionError, match="transform='conv' is unknown"):
        make(transform='conv')
    with pytest.raises(CompressionError, match='as many maps'):
        make(out_channels=(40,))
