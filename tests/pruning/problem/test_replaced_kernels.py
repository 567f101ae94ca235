"""What modules write with other kernels, against PyTorch's functions."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.pruning.problem.replaced_kernels import outputs_with, shortcut_of
from mmdet_lcp.selection.images import SelectionImages

SIZE = 64
BOXES = [[[4.0, 6, 30, 40], [20, 20, 60, 50]], [[10.0, 30, 40, 62]]]


def samples_of(kind=torch.tensor) -> list[DetDataSample]:
    meta = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), (SIZE,) * 2)
    found = []
    for number, boxes in enumerate(BOXES):
        sample = DetDataSample(metainfo=dict(meta, scale_factor=(1.0, 1.0), img_id=number))
        labels = torch.arange(len(boxes))
        sample.gt_instances = InstanceData(bboxes=kind(boxes), labels=labels)
        found.append(sample)
    return found


class Net(nn.Module):
    """A stem, a layer with two paths and a batch norm behind; what comes then must not run."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.shared = nn.Conv2d(4, 4, 1)
        self.again = nn.ModuleList([self.shared])
        self.norm = nn.BatchNorm2d(4)
        self.never = nn.Conv2d(99, 1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        assert mode == 'tensor'
        x = self.shared(self.stem(inputs).sigmoid()).tanh()
        return self.never(self.norm(self.again[0](x)))


def loss_with(net, images, weights, shortcut=None, output=None):
    """Squares of the first box's corner times the mean of what the norm writes."""
    found = outputs_with(net, ['norm'], images, weights, shortcut, output)['norm']
    corner = torch.stack([sample.gt_instances.bboxes[0, 0] for sample in images.data_samples])
    return (found.mean((1, 2, 3)) * corner).square().mean()


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Net().double()
    nn.init.normal_(net.norm.running_mean)
    nn.init.uniform_(net.norm.running_var, 0.5, 2)
    return net.train()


@pytest.fixture
def few():
    inputs = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(1)).double()
    return SelectionImages(inputs, None, samples_of())


def explicit(net, images, stem, shared):
    """The same loss by PyTorch's functions, with batch norm's running statistics."""
    x = F.conv2d(images.inputs, stem, net.stem.bias, padding=1).sigmoid()
    x = F.conv2d(x, shared, net.shared.bias).tanh()
    x = F.conv2d(x, shared, net.shared.bias)
    norm = net.norm
    x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    corner = torch.tensor([boxes[0][0] for boxes in BOXES])
    return (x.mean((1, 2, 3)) * corner).square().mean()


def test_kernels_are_replaced_and_gradients_reach_them(net, few):
    """The layer with two paths runs with the new kernel both times."""
    kernels = {
        path: torch.randn_like(net.get_submodule(path).weight) for path in ('stem', 'shared')
    }
    leaves = {path: kernel.clone().requires_grad_() for path, kernel in kernels.items()}
    found = loss_with(net, few, leaves)
    expected = explicit(net, few, kernels['stem'], kernels['shared'])
    torch.testing.assert_close(found, expected)
    slopes = torch.autograd.grad(found, list(leaves.values()))
    for path, slope in zip(leaves, slopes, strict=True):
        for place in ((0, 1, 0, 0), (3, 2, -1, -1)):
            step = torch.zeros_like(slope)
            step[place] = 1e-6
            up, down = (
                float(explicit(net, few, **{**kernels, path: kernels[path] + sign * step}))
                for sign in (1, -1)
            )
            assert float(slope[place]) == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-9)


def test_the_detector_stays_as_it_is(net, few):
    before = copy.deepcopy(net.state_dict())
    net.norm.eval()
    modes = [module.training for module in net.modules()]
    kernel = torch.zeros_like(net.stem.weight).requires_grad_()
    loss_with(net, few, {'stem': kernel}).backward()
    assert kernel.grad is not None and all(p.grad is None for p in net.parameters())
    assert all(p.requires_grad for p in net.parameters())
    assert [module.training for module in net.modules()] == modes
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    expected = explicit(net, few, net.stem.weight, net.shared.weight)
    found = loss_with(net, few, {})
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad  # of no other kernel


def inputs_of(net, images):
    """What the two layers read in their first runs."""
    with torch.no_grad():
        return {'stem': images.inputs, 'shared': net.stem(images.inputs).sigmoid()}


def shortcut(net, images, *changed, inputs=None, paths=('norm',)):
    inputs = inputs_of(net, images) if inputs is None else inputs
    layers = {path: net.get_submodule(path) for path in changed}
    return shortcut_of(net, paths, images, layers, {path: inputs[path] for path in changed})


@pytest.mark.parametrize(
    ('changed', 'kept', 'alone'),
    [
        (['shared'], ['stem'], False),
        (['stem'], [], True),
        (['shared', 'stem'], [], False),
    ],
)
def test_what_need_not_run_again(net, few, changed, kept, alone):
    """What comes before is kept, and the first layer's output comes from outside."""
    found = shortcut(net, few, *changed)
    assert [net.get_submodule(path) for path in kept] == list(found.upstream.outputs)
    assert (found.first, found.alone) == (changed[-1], alone)
    inputs, runs = inputs_of(net, few), []
    for name in ('stem', 'shared'):
        layer = net.get_submodule(name)
        convolve = layer._conv_forward
        layer._conv_forward = lambda *args, name=name, convolve=convolve: (
            runs.append(name) or convolve(*args)
        )
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        leaves = {
            path: torch.randn(
                net.get_submodule(path).weight.shape, generator=generator, dtype=torch.float64
            ).requires_grad_()
            for path in changed
        }

        def output(path, leaves=leaves):
            layer, padding = net.get_submodule(path), 1 if path == 'stem' else 0
            return F.conv2d(inputs[path], leaves[path], layer.bias, padding=padding)

        results = []
        for given in (
            (found, output),
            (replace(found, first=None, alone=False), None),
            (None, None),
        ):
            runs.clear()
            loss = loss_with(net, few, leaves, *given)
            counted = [runs.count(name) for name in ('stem', 'shared')]
            results.append((counted, loss, torch.autograd.grad(loss, list(leaves.values()))))
        twice = [0 if kept else 1, 2]  # where the layer runs that has two paths
        assert results[2][0] == [1, 2] and results[1][0] == twice
        assert results[0][0] == ([0, 1] if kept else [0, 2])
        for _, loss, slopes in results[:2]:
            assert torch.equal(loss, results[2][1])
            torch.testing.assert_close(slopes, results[2][2], rtol=1e-12, atol=1e-14)
    assert net.training
    assert all('forward' not in vars(module) for module in net.modules())


def test_a_layer_that_reads_something_else_there(net, few):
    """Regions of a second stage may be others than those that the layer was looked at with."""
    inputs = inputs_of(net, few)
    for wrong in (inputs['shared'] + 0.5, inputs['shared'][:1], inputs['shared'] * torch.nan):
        found = shortcut(net, few, 'shared', inputs={'shared': wrong})
        assert found.first is None and not found.alone
        assert list(found.upstream.outputs) == [net.stem]
    assert shortcut(net, few, 'shared').first == 'shared'


class Views(Net):
    """Takes the layout of the maps for granted."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.shared(self.stem(inputs).tanh())
        return self.norm(x.view(len(x), -1).view(x.shape))


class Raw(Net):
    """Reads the memory of the maps as if their channels were always apart."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.shared(self.stem(inputs).tanh())
        return self.norm(torch.as_strided(x, x.shape, torch.empty(x.shape).stride()))


@pytest.mark.parametrize('kind', [Views, Raw])
def test_layers_that_want_channels_apart(kind, few):
    torch.manual_seed(0)
    net = kind().double()
    with torch.no_grad():
        apart = net.stem(few.inputs).tanh()
    together = apart.contiguous(memory_format=torch.channels_last)
    assert shortcut(net, few, 'shared', inputs={'shared': apart}).first == 'shared'
    found = shortcut(net, few, 'shared', inputs={'shared': together})
    assert found.first is None and list(found.upstream.outputs) == [net.stem]
    assert all('forward' not in vars(module) for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())


class Behind(Net):
    """What is read comes before the layer that changes, which does not run at all."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.shared(self.norm(self.stem(inputs)))


def test_layers_that_do_not_run(few):
    net = Behind().double().eval()
    found = shortcut(net, few, 'shared', inputs={'shared': few.inputs})
    assert found.first is None
    kernel = torch.ones_like(net.shared.weight)
    norm = outputs_with(net, ['norm'], few, {'shared': kernel}, found)['norm']
    torch.testing.assert_close(norm, net.norm(net.stem(few.inputs)))


@pytest.mark.parametrize(
    ('path', 'message'),
    [('nrom', "no module 'nrom'; did you mean 'norm'"), ('never.bias', "no module 'never.bias'")],
)
def test_a_path_that_is_not_there(net, few, path, message):
    with pytest.raises(CompressionError, match=message):
        outputs_with(net, [path], few, {})
    assert all(module.training for module in net.modules())
