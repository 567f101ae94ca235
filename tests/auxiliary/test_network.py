import numpy as np
import pytest
import torch

from mmdet_lcp.auxiliary.network import AuxiliaryNetwork, spatial_scale
from mmdet_lcp.detectors.roi_samples import RoISamples

CODER = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2])


def samples():
    return RoISamples(
        rois=torch.tensor([[0.0, 8, 8, 24, 24], [1, 16, 0, 40, 32], [1, 0, 0, 16, 16]]),
        gt_boxes=torch.tensor([[10.0, 6, 30, 26], [12, 4, 44, 30], [0, 0, 0, 0]]),
        labels=torch.tensor([1, 0, 2]),
        positive=torch.tensor([True, True, False]),
        img_shape=(64, 64),
    )


def network(**keys):
    torch.manual_seed(0)
    return AuxiliaryNetwork(4, 2, CODER, **keys)


@pytest.mark.parametrize(
    ('feature', 'image', 'stride'),
    [
        ((8, 8), (64, 64), 8),
        ((38, 38), (300, 300), 8),  # SSD300's maps, of which no stride divides 300
        ((19, 19), (300, 300), 16),
        ((10, 10), (300, 300), 32),
        ((5, 5), (300, 300), 64),
        ((3, 3), (300, 300), 100),
        ((1, 1), (300, 300), 300),
        ((25, 38), (800, 1216), 32),
        ((38, 25), (1216, 800), 32),
        ((21, 21), (63, 63), 3),
        ((300, 300), (300, 300), 1),
    ],
)
def test_spatial_scale(feature, image, stride):
    assert spatial_scale(feature, image) == pytest.approx(1 / stride)


def test_starts_at_the_default_boxes():
    net = network()
    with torch.no_grad():
        net.box_head.weight.zero_()
    scores, boxes = net.predict(torch.randn(2, 4, 8, 8), samples())
    assert scores.shape == (3, 3)
    torch.testing.assert_close(boxes, samples().rois[:, 1:])


def test_decodes_with_the_detectors_coder():
    net = network()
    with torch.no_grad():
        net.box_head.weight.zero_()
        net.box_head.bias.copy_(torch.tensor([1.0, -2.0, 0.5, 0.0]))
    boxes = net.predict(torch.randn(2, 4, 8, 8), samples())[1]
    for box, roi in zip(boxes.detach().numpy(), samples().rois[:, 1:].numpy(), strict=True):
        x, y = (roi[0] + roi[2]) / 2, (roi[1] + roi[3]) / 2
        w, h = roi[2] - roi[0], roi[3] - roi[1]
        x, y, w = x + 0.1 * w, y - 0.2 * h, w * np.exp(0.1)
        expected = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        np.testing.assert_allclose(box, expected, rtol=1e-5)


def test_losses_fall_when_it_learns():
    net = network()
    features = torch.randn(2, 4, 8, 8)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    totals = []
    for _ in range(30):
        losses = net(features, samples())
        assert set(losses) == {'loss_aux_cls', 'loss_aux_box'}
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.3 * totals[0]


def test_frozen_network_passes_gradients_to_the_features_only():
    net = network().eval().requires_grad_(False)
    features = torch.randn(2, 4, 8, 8, requires_grad=True)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    kept = features.detach().clone()
    sum(net(features, samples()).values()).backward()
    assert features.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in state.items())
    assert torch.equal(features.detach(), kept)


def test_gradient_of_the_features_is_that_of_finite_differences():
    net = network(output_size=2).eval().requires_grad_(False)
    with torch.no_grad():
        for head in (net.cls_head, net.box_head):
            head.weight.mul_(20)
    features = torch.randn(2, 4, 8, 8)
    direction = torch.randn(2, 4, 8, 8)

    def total(step):
        return sum(net(features + step * direction, samples()).values()).item()

    leaf = features.clone().requires_grad_()
    sum(net(leaf, samples()).values()).backward()
    slope = (total(1e-3) - total(-1e-3)) / 2e-3
    assert (leaf.grad * direction).sum().item() == pytest.approx(slope, rel=2e-2)


def test_context_changes_positives_only():
    features = torch.randn(2, 4, 8, 8)
    contextual = network().eval().predict(features, samples())[0]
    plain = network(contextual=False).eval().predict(features, samples())[0]
    differs = (contextual != plain).any(dim=1)
    assert differs.tolist() == [True, True, False]


def test_batch_without_regions_trains():
    empty = RoISamples(
        torch.zeros(0, 5),
        torch.zeros(0, 4),
        torch.zeros(0, dtype=torch.long),
        torch.zeros(0, dtype=torch.bool),
        (64, 64),
    )
    net = network()
    features = torch.randn(2, 4, 8, 8, requires_grad=True)
    sum(net(features, empty).values()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert all(parameter.grad.abs().sum() == 0 for parameter in net.parameters())


def test_under_autocast():
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = network()(torch.randn(2, 4, 8, 8).bfloat16(), samples())
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
