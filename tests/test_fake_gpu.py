"""The fake GPU refuses what a GPU refuses, and computes what the CPU computes."""

import copy

import pytest
import torch
from mmcv.ops import batched_nms
from mmcv.ops import roi_align as mmcv_roi_align
from torch import nn

from .fake_gpu import GPU, DeviceError, FakeGpu


@pytest.fixture
def gpu():
    with FakeGpu() as gpu:
        yield gpu


@pytest.mark.parametrize(
    'refused',
    [
        lambda here, there: here + there,
        lambda here, there: torch.cat([here, there]),
        lambda here, there: here[there.argsort()],
        lambda here, there: here * there.sum(),
        lambda here, there: there.numpy(),
        lambda here, there: there.index_add_(0, torch.tensor([0, 1, 2]), there.clone()),
        lambda here, there: nn.functional.linear(here, there[None]),
        lambda here, there: there.new_zeros(3) + torch.zeros(3),
        lambda here, there: torch.zeros(3, device=there.device) + torch.zeros_like(here),
        lambda here, there: copy.deepcopy(there) + here,
        lambda here, there: torch.randperm(3, generator=torch.Generator(), device=there.device),
    ],
)
def test_what_a_gpu_refuses(gpu, refused):
    with pytest.raises(DeviceError):
        refused(torch.ones(3), torch.ones(3).to('cuda'))


@pytest.mark.parametrize(
    ('allowed', 'side'),
    [
        (lambda here, there: there * here.sum(), 'cuda'),  # a number
        (lambda here, there: there[here.argsort()], 'cuda'),
        (lambda here, there: there.cpu() + here, 'cpu'),
        (lambda here, there: there.clone().copy_(here), 'cuda'),
        (lambda here, there: here.clone().copy_(there), 'cpu'),
        (lambda here, there: here.to(there), 'cuda'),
        (lambda here, there: there.to(torch.float64), 'cuda'),
        (lambda here, there: there.view(3, 1)[1:], 'cuda'),
        (lambda here, there: there.new_tensor([1.0]), 'cuda'),
        (lambda here, there: torch.tensor([1.0]), 'cpu'),
        (lambda here, there: torch.tensor([1.0], device=there.device), 'cuda'),
        (lambda here, there: torch.arange(3, device='cpu'), 'cpu'),
        (lambda here, there: torch.as_tensor(here.numpy()), 'cpu'),
    ],
)
def test_what_it_takes(gpu, allowed, side):
    assert allowed(torch.ones(3), torch.ones(3).to('cuda')).device.type == side


def test_training_is_that_of_the_cpu():
    def trained(device):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
        net = net.to(device)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            optimizer.zero_grad()
            loss = net(torch.randn(2, 3, 8, 8).to(device)).square().mean()
            loss.backward()
            optimizer.step()
        return net

    expected = trained('cpu')
    with FakeGpu():
        net = trained('cuda')
        assert {value.device for value in net.state_dict().values()} == {GPU}
        assert {parameter.grad.device for parameter in net.parameters()} == {GPU}
        other = copy.deepcopy(net).cpu()
        assert {value.device.type for value in other.state_dict().values()} == {'cpu'}
        with pytest.raises(DeviceError):
            net(torch.randn(1, 3, 8, 8))
    for key, value in expected.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_mmcvs_operators(gpu):
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 5], [8, 8, 9, 9]])
    scores, labels = torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.long)
    config = dict(type='nms', iou_threshold=0.5)
    kept = batched_nms(*(x.to('cuda') for x in (boxes, scores, labels)), config)[1]
    assert kept.device == GPU and kept.tolist() == [0, 2]
    maps = torch.arange(64.0).view(1, 1, 8, 8)
    rois = torch.tensor([[0.0, 1, 1, 5, 5]])
    pooled = mmcv_roi_align(maps.to('cuda'), rois.to('cuda'), 2)
    assert pooled.device == GPU
    assert torch.equal(pooled.cpu(), mmcv_roi_align(maps, rois, 2))
    with pytest.raises(DeviceError):
        mmcv_roi_align(maps.to('cuda'), rois, 2)


def test_nothing_stays_behind():
    with FakeGpu():
        tensor = torch.ones(2).to('cuda')
    assert tensor.device.type == 'cpu'
    assert (tensor + torch.ones(2)).tolist() == [2, 2]
    if not torch.cuda.is_available():
        with pytest.raises((AssertionError, RuntimeError)):
            torch.ones(2, device='cuda')
