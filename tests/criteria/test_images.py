"""Selection images, the detector's loss on them, and an attachment's with other kernels."""

import copy
import random

import detectors
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes, bbox2roi
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.attachments import Attachment
from mmdet_lcp.criteria.images import SelectionImages, attached_losses, detection_loss, upstream_of
from mmdet_lcp.structure.regions import Regions

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


@pytest.fixture(scope='module')
def retinanet():
    return detectors.tiny_detector('retinanet')


@pytest.fixture
def images():
    return SelectionImages(detectors.noise(SIZE), None, samples_of())


# ------------------------------------------------------------------ a batch


@pytest.mark.parametrize('kind', [torch.tensor, HorizontalBoxes])
def test_boxes_are_plain_tensors(kind):
    found = SelectionImages(detectors.noise(SIZE), None, samples_of(kind)).boxes
    assert all(type(boxes) is torch.Tensor for boxes in found)
    assert [boxes.tolist() for boxes in found] == BOXES


def test_the_first_image_alone(images):
    images.samples = object()  # of the auxiliary network
    rois = torch.tensor([[1.0, 0, 0, 9, 9], [0, 1, 1, 8, 8], [0, 2, 2, 7, 7]])
    images.regions = Regions([torch.zeros(3, 4), torch.ones(2, 4)], [rois])
    first = images.first()
    assert torch.equal(first.inputs, images.inputs[:1]) and first.samples is None
    assert first.data_samples == images.data_samples[:1]
    assert [len(boxes) for boxes in first.regions.proposals] == [3]
    assert torch.equal(first.regions.rois[0], rois[1:])
    assert len(images.inputs) == 2 and len(images.data_samples) == 2  # as it was
    images.regions = None
    assert images.first().regions is None


@torch.no_grad()
def test_run_is_mmdets_tensor_forward(retinanet, images):
    expected = retinanet(images.inputs, mode='tensor')
    assert detectors.distance(images.run(retinanet), expected) == 0
    without = SelectionImages(images.inputs, None)
    assert detectors.distance(without.run(retinanet), expected) == 0


def test_run_passes_on_the_ground_truth(images):
    """Where there is some; the images are the batch's."""

    class Noting(nn.Module):
        def forward(self, *args, mode):
            return args, mode

    args, mode = images.run(Noting())
    assert mode == 'tensor' and args[0] is images.inputs and args[1] is images.data_samples
    args, mode = SelectionImages(images.inputs, None).run(Noting())
    assert mode == 'tensor' and len(args) == 1


@torch.no_grad()
def test_heads_run_on_the_batchs_regions(images):
    """What mmdet's head gives for them, and not for the RPN's."""
    detector = detectors.tiny_detector('faster_rcnn')
    boxes = [torch.tensor(each) + 1 for each in BOXES]
    images.regions = Regions(boxes)
    features = detector.extract_feat(images.inputs)
    expected = detector.roi_head._bbox_forward(features, bbox2roi(boxes))
    _, found = images.run(detector)
    assert detectors.distance(found, [expected['cls_score'], expected['bbox_pred']]) == 0
    assert len(expected['cls_score']) == 3


# ------------------------------------------------------------------ the detector's loss


def test_detection_loss_is_the_sum_of_all_terms(retinanet, images):
    """As mmdet logs them, a list for each level."""
    terms = retinanet(images.inputs, samples_of(), mode='loss')
    assert set(terms) == {'loss_cls', 'loss_bbox'}
    expected = sum(float(level) for levels in terms.values() for level in levels)
    found = detection_loss(retinanet, images)
    assert found.shape == () and found.requires_grad
    assert float(found) == pytest.approx(expected, rel=1e-6) and expected > 0
    with torch.no_grad():
        assert not detection_loss(retinanet, images).requires_grad


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Drawing(nn.Module):
    """Draws for its loss from every generator, as two-stage detectors do."""

    def loss(self, inputs, data_samples):
        return {'loss_drawn': torch.tensor(draw())}

    def parse_losses(self, losses):
        return losses['loss_drawn'].sum(), {}


def test_regions_are_drawn_by_the_seed(images):
    seed_all(5)
    expected, following = sum(draw()), draw()
    seed_all(5)
    draw()
    found = [float(detection_loss(Drawing(), images, seed)) for seed in (5, 6, 5)]
    assert draw() == following  # the generators are where they were
    assert found[0] == found[2] == pytest.approx(expected, rel=1e-6)
    assert found[1] != pytest.approx(expected, rel=1e-3)


# ------------------------------------------------------------------ an attachment's losses


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


class Mean(Attachment):
    """Squares of the first box's corner times the mean of what the norm writes."""

    def __init__(self, path='norm'):
        super().__init__()
        self.paths = [path]

    def losses(self, taps, data_samples):
        corner = torch.stack([sample.gt_instances.bboxes[0, 0] for sample in data_samples])
        return {'loss_mean': (taps[self.paths[0]].mean((1, 2, 3)) * corner).square().mean()}


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
    found = attached_losses(net, Mean(), few, leaves)['loss_mean']
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
    attached_losses(net, Mean(), few, {'stem': kernel})['loss_mean'].backward()
    assert kernel.grad is not None and all(p.grad is None for p in net.parameters())
    assert all(p.requires_grad for p in net.parameters())
    assert [module.training for module in net.modules()] == modes
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    expected = explicit(net, few, net.stem.weight, net.shared.weight)
    found = attached_losses(net, Mean(), few, {})['loss_mean']
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad  # of no other kernel


@pytest.mark.parametrize(('changed', 'kept'), [('shared', ['stem']), ('stem', [])])
def test_what_runs_before_the_kernels_is_run_once(net, few, changed, kept):
    upstream = upstream_of(net, Mean(), few, [changed])
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
            found = attached_losses(net, Mean(), few, {changed: leaf}, given)['loss_mean']
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
        attached_losses(net, Mean(path), few, {})
    assert all(module.training for module in net.modules())
