"""Which layers make predictions, told by hand for detectors of many families."""

import re

import detectors
import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.run_order import run_order

RPN = r'rpn_head\.rpn_(cls|reg)'
PREDICTIONS = {
    'faster_rcnn': (rf'{RPN}|roi_head\.bbox_head\.fc_(cls|reg)', 4),
    'cascade_rcnn': (rf'{RPN}|roi_head\.bbox_head\.[012]\.fc_(cls|reg)', 8),
    'mask_rcnn': (rf'{RPN}|roi_head\.(bbox_head\.fc_(cls|reg)|mask_head\.conv_logits)', 5),
    'retinanet': (r'bbox_head\.retina_(cls|reg)', 2),
    'fcos': (r'bbox_head\.conv_(cls|reg|centerness)', 3),
    'atss': (r'bbox_head\.atss_(cls|reg|centerness)', 3),
    'yolox': (r'bbox_head\.multi_level_conv_(cls|reg|obj)\.[012]', 9),
    'rtmdet': (r'bbox_head\.rtm_(cls|reg)\.[012]', 6),
    'ssdlite': (r'bbox_head\.(cls|reg)_convs\.[0-5]\.1', 12),
}


@pytest.mark.parametrize('family', PREDICTIONS)
def test_predictions(family):
    pattern, count = PREDICTIONS[family]
    found = run_order(detectors.tiny_detector(family)).last
    assert len(found) == count
    assert all(re.fullmatch(pattern, path) for path in found), found


def test_order_and_norms():
    """The stem first, and each layer of a residual block before the norm behind it."""
    detector = detectors.tiny_detector('faster_rcnn')
    order = run_order(detector)
    assert order.modules[:4] == [
        'backbone.conv1', 'backbone.bn1', 'backbone.layer1.0.conv1', 'backbone.layer1.0.bn1',
    ]  # fmt: skip
    assert order.norms['backbone.layer2.0.downsample.0'] == 'backbone.layer2.0.downsample.1'
    assert 'neck.fpn_convs.0.conv' not in order.norms
    own = {
        path
        for path, module in detector.named_modules()
        if path and any(True for _ in module.parameters(recurse=False))
    }
    assert set(order.modules) == own and len(order.modules) == len(own)
    shared = [order.modules.index(f'roi_head.bbox_head.{n}') for n in ('shared_fcs.0', 'fc_cls')]
    assert shared == sorted(shared)  # as they run, not as they were made


class Net(nn.Module):
    """A layer that is frozen, one that runs on its own output, one that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1).requires_grad_(False)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.never = nn.Conv2d(4, 4, 1)
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, x, mode='tensor'):
        x = self.twice(self.twice(self.first(x).relu_()))
        return self.out(x), x


def test_a_net_by_hand():
    net = Net().train()
    order = run_order(net, (16, 16))
    assert list(order.modules) == ['first', 'twice', 'out']
    assert order.last == {'out'}
    assert net.training and not net.first.weight.requires_grad
    assert all(not module._forward_hooks for module in net.modules())
    assert all(value.grad is None for value in net.parameters())


class Tokens(nn.Module):
    """Rows of tokens through two linear layers with an activation between, changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x, mode='tensor'):
        return self.out(self.first(x.flatten(2).mT.contiguous()).relu_())


def test_a_layer_whose_output_is_changed_in_place_makes_no_prediction():
    assert run_order(Tokens(), (8, 8)).last == {'out'}


def test_an_image_that_is_too_small():
    net = nn.Sequential(nn.Conv2d(3, 4, 7))
    net.forward = lambda x, mode: nn.Conv2d(3, 4, 7)(x)
    with pytest.raises(CompressionError, match='does not run on an empty image of 4x4'):
        run_order(net, (4, 4))
    assert torch.is_grad_enabled()
