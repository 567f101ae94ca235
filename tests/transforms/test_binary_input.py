"""Binary inputs against explicit loops."""

import math

import pytest
import torch
from torch import nn

from mmdet_lcp.transforms import (
    BinaryInput,
    attach_input,
    input_scales,
)

LAYERS = {
    'plain': dict(kernel_size=3),
    'padded': dict(kernel_size=3, padding=1),
    'strided': dict(kernel_size=(3, 2), stride=(2, 1), padding=(1, 0)),
    'dilated': dict(kernel_size=3, padding=2, dilation=2),
    'grouped': dict(kernel_size=3, padding=1, groups=2),
    'depth-wise': dict(kernel_size=3, padding=1, groups=4),
    '1x1': dict(kernel_size=1, stride=2),
}


def pair(value) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def scales_by_loops(x: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
    """K, place by place: the sum of the mean |I| over the window, over the window's size."""
    per_group = layer.in_channels // layer.groups
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = map(
        pair, (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    n, _, height, width = x.shape
    out_h = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    out_w = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    found = torch.zeros(n, layer.out_channels, out_h, out_w, dtype=x.dtype)
    for image in range(n):
        for channel in range(layer.out_channels):
            group = channel // (layer.out_channels // layer.groups)
            own = range(group * per_group, (group + 1) * per_group)
            for row in range(out_h):
                for column in range(out_w):
                    total = 0.0
                    for i in range(kh):
                        for j in range(kw):
                            y, z = row * sh + i * dh - ph, column * sw + j * dw - pw
                            if 0 <= y < height and 0 <= z < width:
                                total += sum(abs(float(x[image, c, y, z])) for c in own)
                    found[image, channel, row, column] = total / per_group / (kh * kw)
    return found


@pytest.mark.parametrize('name', LAYERS)
def test_input_scales(name):
    layer = nn.Conv2d(4, 8, **LAYERS[name]).double()
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64)
    found = input_scales(x, layer)
    assert torch.allclose(found.expand(layer(x).shape), scales_by_loops(x, layer))


def test_input_scales_of_a_linear_layer():
    x = torch.tensor([[1.0, -2.0, 3.0], [0.0, 0.0, -3.0]])
    assert input_scales(x, nn.Linear(3, 5)).tolist() == [[2.0], [1.0]]


def test_other_padding_than_zeros():
    layer = nn.Conv2d(2, 3, 3, padding=1, padding_mode='reflect')
    x = torch.randn(1, 2, 5, 5)
    by_hand = nn.functional.pad(x, (1, 1, 1, 1), mode='reflect')
    plain = nn.Conv2d(2, 3, 3)
    assert torch.allclose(input_scales(x, layer), input_scales(by_hand, plain))


def test_the_scaled_product_is_the_best_of_all_signs():
    """Section 3.2: of all sign vectors H and B and all scales, sign(X), sign(W) and the product of
    the mean magnitudes fit X * W best, in the paper's sense: H * B against X * W element-wise."""
    x = torch.tensor([0.4, -1.2, 0.7, -0.1, 2.0], dtype=torch.float64)
    w = torch.tensor([-0.3, 0.8, 0.1, 0.5, -0.6], dtype=torch.float64)
    target = x * w
    signs = torch.sign(x) * torch.sign(w)
    best_scale = float((target * signs).mean())
    for number in range(2**5):
        other = torch.tensor([1.0 if number >> i & 1 else -1.0 for i in range(5)]).double()
        scale = float((target * other).mean())
        error = float((target - scale * other).square().sum())
        assert error >= float((target - best_scale * signs).square().sum()) - 1e-12
    # and the product of the means is the scale when magnitudes are independent (equation 10)
    assert best_scale == pytest.approx(float((x.abs() * w.abs()).mean()))


@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('scaling', [False, True])
def test_a_layer_with_a_binary_input(scaling, bias):
    """By hand: batch norm, sign, convolution without bias, K, bias."""
    layer = nn.Conv2d(4, 6, 3, padding=1, bias=bias).eval()
    weight, plain_bias = layer.weight.detach().clone(), layer.bias
    transform = BinaryInput.for_layer(layer, scaling=scaling).eval()
    transform.norm.running_mean.uniform_(-1, 1)
    transform.norm.running_var.uniform_(0.5, 2)
    with torch.no_grad():
        transform.norm.weight.uniform_(0.5, 2)
        transform.norm.bias.uniform_(-0.5, 0.5)
    attach_input(layer, transform)
    x = torch.randn(2, 4, 6, 5)
    norm = transform.norm

    def channels(values):
        return values.detach()[None, :, None, None]

    normed = (x - channels(norm.running_mean)) / channels((norm.running_var + norm.eps).sqrt())
    normed = normed * channels(norm.weight) + channels(norm.bias)
    expected = nn.functional.conv2d(torch.where(normed < 0, -1.0, 1.0), weight, padding=1)
    if scaling:
        expected = expected * scales_by_loops(normed, nn.Conv2d(4, 1, 3, padding=1))
    if bias:
        expected = expected + plain_bias[None, :, None, None]
    assert torch.allclose(layer(x), expected, atol=1e-4)


def test_a_linear_layer_with_a_binary_input():
    layer = nn.Linear(3, 2).eval()
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    attach_input(layer, BinaryInput.for_layer(layer, scaling=True).eval())
    x = torch.tensor([[0.5, -1.5, 4.0]])
    scale = 2.0 / math.sqrt(1 + 1e-5)
    expected = torch.tensor([[1.0, -1.0, 1.0]]) @ weight.T * scale + bias
    assert torch.allclose(layer(x), expected, atol=1e-6)


@pytest.mark.parametrize('shape', [(1, 4, 1, 1), (2, 4, 1, 1), (0, 4, 3, 3)])
def test_too_few_values_for_statistics(shape):
    """The last map of an SSD may have one place, a batch no region."""
    layer = nn.Conv2d(4, 2, 1)
    attach_input(layer, BinaryInput.for_layer(layer, scaling=True))
    layer.train()
    out = layer(torch.randn(shape))
    assert out.shape == (shape[0], 2, *shape[2:])
    assert torch.isfinite(layer.input_transform.norm.running_var).all()
