"""MobileNet v1 against the paper's table, and its weights against timm's names."""

import pytest
import torch
from mmcv.cnn import DepthwiseSeparableConvModule
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.cost import module_macs
from mmdet_lcp.models.mobilenet_v1 import MobileNetV1
from mmdet_lcp.models.mobilenet_v1_timm import timm_name


# Width multipliers: multiply-adds and parameters in millions (table 6 of the paper); resolutions
# of the full network (table 7).
@pytest.mark.parametrize(
    ('width', 'size', 'macs', 'params'),
    [
        (1.0, 224, 569, 4.2),
        (0.75, 224, 325, 2.6),
        (0.5, 224, 149, 1.3),
        (0.25, 224, 41, 0.5),
        (1.0, 192, 418, 4.2),
        (1.0, 160, 290, 4.2),
        (1.0, 128, 186, 4.2),
    ],
)
def test_cost_is_the_papers(width, size, macs, params):
    backbone = MobileNetV1(width, out_stages=(5,)).eval()
    last = backbone.stage5[-1].pointwise_conv.conv.out_channels
    classifier = last * 1000
    found = sum(module_macs(backbone, (size, size)).values()) + classifier
    assert found / 1e6 == pytest.approx(macs, rel=0.02)
    weights = sum(p.numel() for p in backbone.parameters()) + classifier + 1000
    # The paper rounds to 0.1 million.
    assert weights / 1e6 == pytest.approx(params, rel=0.02, abs=0.05)


def test_layers_are_those_of_table_1():
    backbone = MobileNetV1(out_stages=(5,))
    blocks = [m for m in backbone.modules() if isinstance(m, DepthwiseSeparableConvModule)]
    strides = [m.depthwise_conv.conv.stride[0] for m in blocks]
    widths = [m.pointwise_conv.conv.out_channels for m in blocks]
    assert strides == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    assert widths == [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    convolutions = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
    assert len(convolutions) == len(norms) == 27 and all(c.bias is None for c in convolutions)


def test_taps_and_strides():
    maps = MobileNetV1(0.25, out_stages=(1, 3, 5))(torch.zeros(1, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 32, 32), (64, 8, 8), (256, 2, 2)]
    small = MobileNetV1(0.25, out_stages=(2,))
    assert not hasattr(small, 'stage3')


def test_frozen_stages_and_norm_eval():
    backbone = MobileNetV1(0.25, frozen_stages=2, norm_eval=True).train()
    for name in ('stage1', 'stage2'):
        assert not any(p.requires_grad for p in getattr(backbone, name).parameters())
    assert all(p.requires_grad for p in backbone.stage3.parameters())
    assert not any(m.training for m in backbone.modules() if isinstance(m, _BatchNorm))
    trained = MobileNetV1(0.25, frozen_stages=1).train()
    assert not trained.stage1.training and trained.stage2.training


def timm_state() -> dict[str, torch.Tensor]:
    """A checkpoint with the names and shapes of timm's `mobilenetv1_100`."""
    state = {'conv_stem.weight': torch.randn(32, 3, 3, 3)}

    def norm(name: str, channels: int) -> None:
        for part in ('weight', 'bias', 'running_mean', 'running_var'):
            state[f'{name}.{part}'] = torch.rand(channels)
        state[f'{name}.num_batches_tracked'] = torch.tensor(7)

    norm('bn1', 32)
    previous = 32
    for stage, (count, channels) in enumerate([(1, 64), (2, 128), (2, 256), (6, 512), (2, 1024)]):
        for block in range(count):
            name = f'blocks.{stage}.{block}'
            state[f'{name}.conv_dw.weight'] = torch.randn(previous, 1, 3, 3)
            norm(f'{name}.bn1', previous)
            state[f'{name}.conv_pw.weight'] = torch.randn(channels, previous, 1, 1)
            norm(f'{name}.bn2', channels)
            previous = channels
    state['classifier.weight'] = torch.randn(1000, 1024)
    state['classifier.bias'] = torch.randn(1000)
    return state


def test_timms_weights_load():
    state = timm_state()
    holder = nn.ModuleDict({'backbone': MobileNetV1()})  # as inside a detector
    loaded = holder.load_state_dict({f'backbone.{k}': v for k, v in state.items()})
    assert not loaded.missing_keys and not loaded.unexpected_keys
    backbone = holder['backbone']
    assert torch.equal(backbone.stage1[0].conv.weight, state['conv_stem.weight'])
    last = backbone.stage4[5].pointwise_conv
    assert torch.equal(last.conv.weight, state['blocks.3.5.conv_pw.weight'])
    assert torch.equal(last.bn.running_var, state['blocks.3.5.bn2.running_var'])
    first = backbone.stage1[1].depthwise_conv
    assert torch.equal(first.conv.weight, state['blocks.0.0.conv_dw.weight'])
    assert timm_name('classifier.weight') is None


def test_a_shorter_backbone_takes_the_stages_that_it_has():
    loaded = MobileNetV1(out_stages=(3,)).load_state_dict(timm_state())
    assert not loaded.missing_keys and not loaded.unexpected_keys


def test_weights_of_another_width_are_refused():
    with pytest.raises(CompressionError, match=r'width_mult .*1\.25 for mobilenetv1_125'):
        MobileNetV1(0.5).load_state_dict(timm_state(), strict=False)


@torch.no_grad()
@pytest.mark.parametrize(('name', 'width'), [('mobilenetv1_100', 1.0), ('mobilenetv1_125', 1.25)])
def test_timms_network_computes_the_same(name, width, tmp_path):
    """Its random weights and statistics, loaded from a file by mmengine's own initialisation."""
    timm = pytest.importorskip('timm', reason='timm is not installed', exc_type=ImportError)
    torch.manual_seed(0)
    other = timm.create_model(name).eval()
    for module in other.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.5)
            module.bias.uniform_(-0.5, 1.0)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    path = tmp_path / f'{name}.pth'
    torch.save(other.state_dict(), path)
    backbone = MobileNetV1(
        width,
        out_stages=(1, 2, 3, 4, 5),
        act_cfg=dict(type='ReLU6'),
        init_cfg=dict(type='Pretrained', checkpoint=str(path)),
    )
    backbone.init_weights()
    x = torch.randn(2, 3, 96, 64)
    found = backbone.eval()(x)
    expected = other.bn1(other.conv_stem(x))
    for stage, ours in zip(other.blocks, found, strict=True):
        expected = stage(expected)
        assert float(expected.abs().max()) > 0.1
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    'keys',
    [
        dict(width_mult=0),
        dict(out_stages=()),
        dict(out_stages=(4, 3)),
        dict(out_stages=(6,)),
        dict(in_channels=0),
        dict(frozen_stages=6),
    ],
)
def test_bad_arguments(keys):
    with pytest.raises(ValueError, match=next(iter(keys))):
        MobileNetV1(**keys)
