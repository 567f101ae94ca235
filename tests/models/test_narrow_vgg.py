"""NarrowVGG: widths, taps, names, arguments, and what pruning needs of it."""

import pytest
import torch
import torch_pruning as tp
from torch import nn

from mmdet_lcp.models.narrow_vgg import NarrowVGG


@pytest.mark.parametrize(
    ('width_mult', 'channels'),
    [
        (1.0, (64, 128, 256, 512, 512)),
        (0.25, (16, 32, 64, 128, 128)),
        (0.125, (8, 16, 32, 64, 64)),
        (0.01, (8, 8, 8, 8, 8)),
    ],
)
def test_width_is_a_share_of_vgg16(width_mult, channels):
    net = NarrowVGG(width_mult=width_mult)
    assert net.stage_channels == channels
    for stage, expected in enumerate(channels, start=1):
        convs = [m for m in getattr(net, f'stage{stage}').modules() if isinstance(m, nn.Conv2d)]
        assert [c.out_channels for c in convs] == [expected] * (2 if stage < 3 else 3)
        assert all(c.bias is None for c in convs)


def test_channels_are_divisible_by_8():
    for percent in range(1, 401, 7):
        net = NarrowVGG(width_mult=percent / 100, out_stages=(1,))
        assert all(c % 8 == 0 and c >= 8 for c in net.stage_channels)


def test_conv_parameters_equal_vgg16s():
    net = NarrowVGG(width_mult=1.0)
    convs = sum(m.weight.numel() for m in net.modules() if isinstance(m, nn.Conv2d))
    assert convs == 14_710_464  # torchvision's VGG-16: 14 714 688 with 4 224 biases


def test_taps_have_the_strides_of_their_stages():
    net = NarrowVGG(width_mult=0.125, out_stages=(1, 2, 3, 4, 5)).eval()
    shapes = [tuple(f.shape) for f in net(torch.rand(2, 3, 64, 96))]
    assert shapes == [
        (2, 8, 64, 96),
        (2, 16, 32, 48),
        (2, 32, 16, 24),
        (2, 64, 8, 12),
        (2, 64, 4, 6),
    ]


def test_default_taps_are_conv4_3_and_conv5_3():
    net = NarrowVGG(width_mult=0.125).eval()
    seen = {}
    for name in ('stage4.2', 'stage5.2'):
        net.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: seen.__setitem__(name, out)
        )
    outs = net(torch.rand(1, 3, 50, 50))
    assert outs[0] is seen['stage4.2'] and outs[1] is seen['stage5.2']
    assert [tuple(o.shape[-2:]) for o in outs] == [(7, 7), (4, 4)]  # ceil of 50/8 and 50/16
    floor = NarrowVGG(width_mult=0.125, ceil_mode=False).eval()
    assert [tuple(o.shape[-2:]) for o in floor(torch.rand(1, 3, 50, 50))] == [(6, 6), (3, 3)]


def test_names_follow_the_paper_and_unused_stages_are_not_built():
    net = NarrowVGG(width_mult=0.125, out_stages=(4,))
    assert isinstance(net.get_submodule('stage4.2.conv'), nn.Conv2d)
    assert isinstance(net.get_submodule('stage4.2.bn'), nn.BatchNorm2d)
    assert not hasattr(net, 'stage5')


def test_init_weights_is_kaiming():
    torch.manual_seed(0)
    net = NarrowVGG(width_mult=0.5)
    net.init_weights()
    conv = net.stage4[2].conv
    expected = (2 / (conv.out_channels * 9)) ** 0.5
    assert conv.weight.std().item() == pytest.approx(expected, rel=0.02)
    assert torch.all(net.stage4[2].bn.weight == 1) and torch.all(net.stage4[2].bn.bias == 0)


@pytest.mark.parametrize('norm_eval', [False, True])
def test_norm_eval_freezes_running_statistics(norm_eval):
    net = NarrowVGG(width_mult=0.125, out_stages=(1,), norm_eval=norm_eval).train()
    before = net.stage1[0].bn.running_mean.clone()
    net(torch.rand(2, 3, 16, 16))
    assert torch.equal(net.stage1[0].bn.running_mean, before) is norm_eval
    assert net.stage1[0].training


@pytest.mark.parametrize(
    'arguments',
    [
        dict(width_mult=0),
        dict(width_mult=-0.25),
        dict(width_mult=4.5),
        dict(width_mult=float('nan')),
        dict(out_stages=()),
        dict(out_stages=(0, 4)),
        dict(out_stages=(4, 6)),
        dict(out_stages=(5, 4)),
        dict(out_stages=(4, 4)),
        dict(in_channels=0),
    ],
)
def test_arguments_out_of_range_are_errors(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        NarrowVGG(**arguments)


def test_torch_pruning_traces_every_conv():
    net = NarrowVGG(width_mult=0.125).eval()
    image = torch.rand(1, 3, 32, 32)
    graph = tp.DependencyGraph().build_dependency(net, image)
    conv = net.stage3[1].conv
    group = graph.get_pruning_group(conv, tp.prune_conv_out_channels, idxs=[0, 3, 5])
    assert graph.check_pruning_group(group)
    group.prune()
    assert conv.out_channels == 29 and net.stage3[2].conv.in_channels == 29
    assert net.stage3[1].bn.num_features == 29
    assert [f.shape[1] for f in net(image)] == [64, 64]


def test_without_norms():
    net = NarrowVGG(width_mult=0.125, out_stages=(1,), norm_cfg=None)
    assert set(net.state_dict()) == {
        f'stage1.{block}.conv.{kind}' for block in (0, 1) for kind in ('weight', 'bias')
    }
