"""Groups are found without leaving a trace, or it is said why not."""

import pytest
import torch
from torch import nn
from toys import Toy, by_name

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import find_groups


@pytest.mark.parametrize('training', [True, False])
def test_the_detector_is_left_as_it_was(narrow_r50, training):
    detector = narrow_r50.detector
    detector.train(training)
    detector.backbone.bn1.eval()  # one module differs from its parent
    frozen = {
        'backbone.conv1.weight',
        'backbone.layer1.0.bn1.bias',
        'neck.extra_layers.0.0.bn.bias',
    }
    for name, parameter in detector.named_parameters():
        parameter.requires_grad_(name not in frozen)
    modes = {path: module.training for path, module in detector.named_modules()}
    values = {key: value.clone() for key, value in detector.state_dict().items()}
    try:
        groups = find_groups(detector, (96, 96))
        assert {p: m.training for p, m in detector.named_modules()} == modes
        assert {n for n, p in detector.named_parameters() if not p.requires_grad} == frozen
        assert all(torch.equal(v, values[k]) for k, v in detector.state_dict().items())
        assert all(p.grad is None for p in detector.parameters())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in detector.modules())
        assert groups == narrow_r50.groups  # frozen layers are found like all others
    finally:
        detector.requires_grad_(True).eval()


def broken(model, x):
    raise IndexError('nothing there')


UNTRACEABLE = {
    'raises': broken,
    'too small an image': lambda m, x: m.a(x[..., :2, :2]),
    'no layer runs': lambda m, x: m.b(m.a.weight[:, :1].sum() + x[:, [0, 0, 1, 2]]),
}


@pytest.mark.parametrize('forward', UNTRACEABLE.values(), ids=UNTRACEABLE)
def test_a_model_that_cannot_be_traced(forward):
    model = Toy(forward, a=nn.Conv2d(3, 4, 3), b=nn.BatchNorm2d(4))
    model.a.weight.requires_grad_(False)
    model.b.eval()
    with pytest.raises(CompressionError, match=r'Toy could not be traced at image size \(8, 9\)'):
        find_groups(model, (8, 9))
    assert not model.a.weight.requires_grad
    assert model.a.bias.requires_grad
    assert model.training
    assert model.a.training
    assert not model.b.training
    assert not any(module._forward_hooks for module in model.modules())


def test_what_nobody_reads():
    model = Toy(
        lambda m, x: (m.a(x), m.out(x))[1], a=nn.Conv2d(3, 4, 1), out=nn.Conv2d(3, 2, 1)
    )  # fmt: skip
    assert by_name(model)['a'].obstacle == 'no layer reads its channels'


@pytest.mark.parametrize('size', [32, (32,), (0, 8), (8, -8), (8.0, 8), '88', None])
def test_sizes_that_no_image_has(size):
    model = Toy(lambda m, x: m.out(x), out=nn.Conv2d(3, 2, 1))
    with pytest.raises(CompressionError, match=r'image_size is .*\(height, width\)'):
        find_groups(model, size)
