"""mmcv's RoIAlign does not depend on how maps lie in memory."""

import pytest
import torch
from mmcv.ops import roi_align
from mmcv.ops.roi_align import RoIAlignFunction

from mmdet_lcp.compat.roi_align_strides import roi_align_on_any_strides


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_values_and_gradients(mode):
    roi_align_on_any_strides()
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 8, 9)
    rois = torch.tensor([[0.0, 2, 3, 20, 18], [1, 0, 0, 30, 25]])
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        own = maps.clone(memory_format=layout).requires_grad_()
        out = roi_align(own, rois, (2, 2), 0.25, 2, mode, True)
        out.square().sum().backward()
        found += [(out, own.grad)]
    (one, grad), (two, other) = found
    assert torch.equal(one, two)
    torch.testing.assert_close(other, grad)
    # By hand: a bin of a plane has the value at its middle.
    plane = torch.arange(8.0)[:, None].expand(8, 9) * torch.tensor([1.0, 2, 3])[:, None, None]
    plane = plane[None].contiguous(memory_format=torch.channels_last)
    whole = torch.tensor([[0.0, 8, 8, 24, 24]])
    assert roi_align(plane, whole, (1, 1), 0.25, 2, 'avg', True).flatten().tolist() == [
        3.5,
        7.0,
        10.5,
    ]


def test_once():
    roi_align_on_any_strides()
    forward = RoIAlignFunction.forward
    roi_align_on_any_strides()
    assert RoIAlignFunction.forward is forward
