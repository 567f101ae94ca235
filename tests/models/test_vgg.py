"""VGG: the convolutions of the paper, names of ImageNet checkpoints, frozen stages."""

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from mmdet_lcp.models import VGG


@pytest.fixture(scope='module')
def vgg():
    return VGG()


def test_thirteen_convolutions_named_as_in_imagenet_checkpoints(vgg):
    convs = {name: m for name, m in vgg.named_modules() if isinstance(m, nn.Conv2d)}
    # torchvision's VGG-16: where its convolutions stand in `features`
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    assert list(convs) == [f'features.{place}' for place in places]
    widths = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert [conv.out_channels for conv in convs.values()] == widths
    assert sum(p.numel() for p in vgg.parameters()) == 14_714_688
    assert not isinstance(vgg.features[-1], nn.MaxPool2d)


def test_one_map_at_stride_16(vgg):
    with torch.no_grad():
        maps = vgg(torch.randn(1, 3, 64, 48))
    assert isinstance(maps, tuple) and [m.shape for m in maps] == [(1, 512, 4, 3)]
    assert (maps[0] >= 0).all()  # conv5_3 behind its ReLU


def test_several_maps():
    with torch.no_grad():
        maps = VGG(depth=11, out_indices=(2, 4))(torch.randn(1, 3, 64, 64))
    assert [m.shape for m in maps] == [(1, 256, 8, 8), (1, 512, 4, 4)]


def test_frozen_stages_and_norms():
    net = VGG(depth=11, with_bn=True, frozen_stages=2)
    frozen = [n for n, p in net.named_parameters() if not p.requires_grad]
    # conv1_1 and conv2_1 with their norms: conv, bn, relu, pool, conv, bn
    assert {name.split('.')[1] for name in frozen} == {'0', '1', '4', '5'}
    assert not any(m.training for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    free = VGG(depth=11, with_bn=True, norm_eval=False).train()
    assert all(m.training for m in free.modules())
    assert all(p.requires_grad for p in free.parameters())


def test_weights_are_initialised_by_init_cfg():
    net = MODELS.build(
        dict(type='mmdet_lcp.VGG', depth=11, init_cfg=dict(type='Constant', layer='Conv2d', val=2))
    )
    assert net.train() is net
    net.init_weights()
    assert all((m.weight == 2).all() for m in net.modules() if isinstance(m, nn.Conv2d))
