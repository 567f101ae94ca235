import pytest
import torch
from torch import nn

from mmdet_lcp.detectors.taps import Taps, forward_until, run_until
from mmdet_lcp.errors import CompressionError


class Toy(nn.Module):
    """Shared and in-place layers, which are what taps go wrong on."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.relu = nn.ReLU(inplace=True)
        self.shared = nn.Conv2d(2, 2, 1)
        self.unused = nn.Conv2d(2, 2, 1)
        self.ran = []

    def forward(self, x):
        self.ran = ['conv']
        x = self.relu(self.conv(x))
        self.ran.append('shared')
        y = self.shared(x)
        self.ran.append('again')
        return self.shared(input=y)


@pytest.fixture
def toy():
    torch.manual_seed(0)
    return Toy()


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_output_before_an_in_place_layer(toy):
    x = torch.randn(1, 2, 3, 3)
    expected = toy(x)
    with Taps(toy, ['relu', 'conv']) as taps:
        assert torch.equal(toy(x), expected)
    assert list(taps) == ['conv', 'relu']
    assert torch.equal(taps['conv'], toy.conv(x))
    assert (taps['conv'] < 0).any()
    assert torch.equal(taps['relu'], toy.conv(x).relu())
    assert hooks(toy) == 0


def test_gradient_reaches_the_captured_tensor(toy):
    x = torch.randn(1, 2, 3, 3)
    with Taps(toy, ['conv']) as taps:
        out = toy(x)
    taps['conv'].retain_grad()
    out.sum().backward()
    captured = toy.conv(x).detach().requires_grad_()
    toy.shared(toy.shared(captured.relu())).sum().backward()
    torch.testing.assert_close(taps['conv'].grad, captured.grad)


def test_input_before_an_in_place_layer(toy):
    x = torch.randn(1, 2, 3, 3)
    with Taps(toy, ['relu', 'shared'], what='input') as taps:
        toy(x)
    assert torch.equal(taps['relu'], toy.conv(x))
    assert torch.equal(taps['shared'], toy.conv(x).relu())


def test_module_that_runs_twice(toy):
    x = torch.randn(1, 2, 3, 3)
    with Taps(toy, ['shared']) as first:
        out = toy(x)
    with Taps(toy, ['shared'], all_calls=True) as every:
        toy(x)
    with Taps(toy, ['shared'], what='input', all_calls=True) as inputs:
        toy(x)
    assert torch.equal(first['shared'], every['shared'][0])
    assert torch.equal(every['shared'][1], out)
    assert torch.equal(inputs['shared'][1], every['shared'][0])  # passed by keyword


def test_stops_as_soon_as_it_has_everything(toy):
    x = torch.randn(1, 2, 3, 3)
    captured = run_until(toy, lambda: toy(x), ['shared', 'conv'])
    assert list(captured) == ['shared', 'conv']
    assert toy.ran == ['conv', 'shared']
    torch.testing.assert_close(captured['shared'], toy.shared(toy.conv(x).relu()))
    assert hooks(toy) == 0


def test_input_stops_before_the_module_runs(toy, monkeypatch):
    def never(_):
        raise AssertionError('it ran')

    monkeypatch.setattr(toy.shared, 'forward', never)
    x = torch.randn(1, 2, 3, 3)
    captured = run_until(toy, lambda: toy(x), ['shared'], what='input')
    assert torch.equal(captured['shared'], toy.conv(x).relu())


def test_hooks_go_after_an_error(toy):
    with pytest.raises(RuntimeError), Taps(toy, ['conv', 'shared']):
        toy(torch.randn(1, 5, 3, 3))
    assert hooks(toy) == 0
    with pytest.raises(RuntimeError):
        run_until(toy, lambda: toy(torch.randn(1, 5, 3, 3)), ['shared'])
    assert hooks(toy) == 0


def test_unknown_path_names_the_nearest(toy):
    with pytest.raises(CompressionError, match=r"'shard'.*did you mean 'shared'"):
        Taps(toy, ['shard'])
    with pytest.raises(CompressionError, match='no module'):
        Taps(toy, [''])
    with pytest.raises(CompressionError, match='what='):
        Taps(toy, ['conv'], what='gradient')


def test_path_that_never_runs(toy):
    with pytest.raises(CompressionError, match=r"never ran \['unused'\]"):
        run_until(toy, lambda: toy(torch.randn(1, 2, 3, 3)), ['conv', 'unused'])
    assert hooks(toy) == 0


def test_forward_until_on_a_detector(ssd, batch):
    ssd.eval()
    paths = ['backbone.layer2.0.conv1', 'backbone.layer1.1.conv2']
    with torch.no_grad():
        captured = forward_until(ssd, batch[0], paths)
        backbone = ssd.backbone
        x = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(batch[0]))))
        expected = backbone.layer2[0].conv1(backbone.layer1(x))
    assert list(captured) == paths
    torch.testing.assert_close(captured[paths[0]], expected)
    assert not captured[paths[0]].requires_grad
    assert forward_until(ssd, batch[0], paths[:1])[paths[0]].requires_grad


def test_forward_until_in_the_head(ssd, batch):
    ssd.eval()
    path = 'bbox_head.cls_convs.1.0'
    with torch.no_grad():
        captured = forward_until(ssd, batch[0], [path], what='input')
        expected = ssd.extract_feat(batch[0])[1]
    torch.testing.assert_close(captured[path], expected)


def test_module_with_several_outputs(ssd, batch):
    with pytest.raises(CompressionError, match='tuple'):
        forward_until(ssd, batch[0], ['backbone'])
