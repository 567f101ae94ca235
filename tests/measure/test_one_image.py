"""The pass that is counted and timed: mmdet's own, on an image as mmdet prepares it."""

import pytest
import torch
from made_detectors import build, ssd_config, two_stage_config
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.one_image import evaluating, prepare, run_once, same_proposals

SIZE = (64, 64)


def test_outputs_are_mmdets():
    detector = build(ssd_config())
    with evaluating(detector):
        forward, image = prepare(detector, SIZE)
        found = forward(image)
        expected = detector(image, mode='tensor')
    flat = [level for kind in expected for level in kind]
    assert len(found) == len(flat) and all(map(torch.equal, found, flat))
    assert image.shape == (1, 3, *SIZE)


def test_modes_and_gradients_are_as_before():
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2).eval())
    with evaluating(net):
        assert not any(module.training for module in net.modules())
        assert not torch.is_grad_enabled()
    assert [module.training for module in net.modules()] == [True, True, False]
    assert torch.is_grad_enabled()


def test_a_network_on_tensors():
    """Noise of one seed, around 0."""
    net = nn.Conv2d(5, 2, 1)
    seen = []
    net.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    run_once(net, (8, 6))
    run_once(net, (8, 6))
    assert seen[0].shape == (1, 5, 8, 6) and torch.equal(*seen)
    assert -2 <= seen[0].min() < -1.5 and 1.5 < seen[0].max() < 2


@pytest.mark.parametrize('size', [(64,), (64, 0), (64.0, 64), (1, 2, 3)])
def test_no_size(size):
    with pytest.raises(CompressionError, match='input_shape is'):
        run_once(nn.Conv2d(3, 2, 1), size)


def test_heads_run_on_the_same_proposals():
    """Another RPN finds other regions; the RoI head gets those of the first detector."""
    like, other = build(two_stage_config()), build(two_stage_config())
    with torch.no_grad():
        other.rpn_head.rpn_reg.bias += 3
    regions = []
    for detector in (like, other):
        detector.roi_head.bbox_roi_extractor.register_forward_pre_hook(
            lambda module, args: regions.append(args[1])
        )
    with same_proposals(other, like, SIZE):
        run_once(other, SIZE)
    assert len(regions) == 2 and torch.equal(*regions)
    run_once(other, SIZE)
    assert regions[1].shape != regions[2].shape or not torch.equal(*regions[1:])
    assert 'predict' not in vars(other.rpn_head) and 'predict' not in vars(like.rpn_head)
