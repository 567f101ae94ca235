"""What modules write with other kernels, against PyTorch's functions."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.pruning.problem.replaced_kernels import outputs_with, upstream_of
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


def loss_with(net, images, weights, upstream=None):
    """Squares of the first box's corner times the mean of what the norm writes."""
    found = outputs_with(net, ['norm'], images, weights, upstream)['norm']
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


@pytest.mark.parametrize(('changed', 'kept'), [('shared', ['stem']), ('stem', [])])
def test_what_runs_before_the_kernels_is_run_once(net, few, changed, kept):
    upstream = upstream_of(net, ['norm'], few, [changed])
    assert [net.get_submodule(path) for path in kept] == list(upstream.outputs)
    runs, convolve = [], net.stem._conv_forward
    net.stem._conv_forward = lambda *args: runs.append(1) or convolve(*args)
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        weight = net.get_submodule(changed).weight
        kernel = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        results = []
        for given in (upstream, None):
            leaf = kernel.clone().requires_grad_()
            found = loss_with(net, few, {changed: leaf}, given)
            results.append((found, torch.autograd.grad(found, leaf)[0]))
        assert torch.equal(results[0][0], results[1][0])
        assert torch.equal(results[0][1], results[1][1])
    assert len(runs) == (2 if kept else 4)
    assert net.training


@pytest.mark.parametrize(
    ('path', 'message'),
    [('nrom', "no module 'nrom'; did you mean 'norm'"), ('never.bias', "no module 'never.bias'")],
)
def test_a_path_that_is_not_there(net, few, path, message):
    with pytest.raises(CompressionError, match=message):
        outputs_with(net, [path], few, {})
    assert all(module.training for module in net.modules())
