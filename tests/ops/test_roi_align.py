"""Against mmcv's own operator; the values by NumPy are tested where it is used."""

import pytest
import torch
from mmcv.ops import roi_align as mmcv_roi_align

from mmdet_lcp.ops import roi_align


@pytest.fixture
def case():
    """Regions of all kinds: inside, over every edge, far outside, thinner than a pixel."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 5, 9, 13, generator=generator, dtype=torch.float64)
    corner = torch.rand(200, 2, generator=generator, dtype=torch.float64) * 80 - 20
    extent = torch.rand(200, 2, generator=generator, dtype=torch.float64) ** 3 * 90
    image = torch.randint(0, 3, (200, 1), generator=generator)
    rois = torch.cat([image, corner, corner + extent], 1)
    on_the_edge = torch.tensor([[0, 0, 0, 52, 36], [1, 2, 2, 2, 2], [2, 900, 900, 950, 960]])
    return features, torch.cat([rois, on_the_edge])


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('points', [1, 2, 3])
@pytest.mark.parametrize('size', [1, 3, 7])
def test_values_and_gradients_are_mmcv_s(case, size, points, aligned):
    features, rois = case
    ours = features.clone().requires_grad_()
    theirs = features.clone().requires_grad_()
    out = roi_align(ours, rois, size, 0.25, points, 'avg', aligned)
    expected = mmcv_roi_align(theirs, rois, (size, size), 0.25, points, 'avg', aligned)
    torch.testing.assert_close(out, expected)
    assert out.is_contiguous()
    factors = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).double()
    (out * factors).sum().backward()
    (expected * factors).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_maximum_is_mmcv_s_on_any_strides(case):
    features, rois = case
    strided = features.contiguous(memory_format=torch.channels_last)
    expected = mmcv_roi_align(features, rois, (3, 3), 0.25, 2, 'max', True)
    assert torch.equal(roi_align(strided, rois, 3, 0.25, 2, 'max'), expected)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_no_region(case, mode):
    features, rois = case
    assert roi_align(features, rois[:0], 3, 0.25, 2, mode).shape == (0, 5, 3, 3)


def test_float32(case):
    features, rois = (tensor.float() for tensor in case)
    out = roi_align(features, rois, 3, 0.25)
    assert out.dtype is torch.float32
    torch.testing.assert_close(out, mmcv_roi_align(features, rois, (3, 3), 0.25, 2, 'avg', True))
