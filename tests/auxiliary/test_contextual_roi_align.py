import numpy as np
import pytest
import torch

from mmdet_lcp.auxiliary.contextual_roi_align import ContextualRoIAlign, enclosing_boxes
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import MODELS


def bilinear(plane, y, x):
    """The value at a continuous place, pixel i lying at coordinate i."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    y0, x0 = int(np.floor(y)), int(np.floor(x))
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    dy, dx = y - y0, x - x0
    return (
        plane[y0, x0] * (1 - dy) * (1 - dx)
        + plane[y0, x1] * (1 - dy) * dx
        + plane[y1, x0] * dy * (1 - dx)
        + plane[y1, x1] * dy * dx
    )


def numpy_roi_align(plane, box, scale, size, points, reduce=np.mean):
    """RoIAlign by its definition: points x points samples in each of size x size bins."""
    x1, y1, x2, y2 = (value * scale - 0.5 for value in box)
    out = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            out[i, j] = reduce(
                [
                    bilinear(
                        plane,
                        y1 + (y2 - y1) / size * (i + (a + 0.5) / points),
                        x1 + (x2 - x1) / size * (j + (b + 0.5) / points),
                    )
                    for a in range(points)
                    for b in range(points)
                ]
            )
    return out


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(2, 3, 8, 10)))
    rois = torch.tensor(
        [[0, 3, 5, 21, 26], [1, 10, 2, 39, 17], [1, 4, 4, 12, 30]], dtype=torch.float64
    )
    gt = torch.tensor([[9, 1, 30, 20], [0, 0, 0, 0], [2, 9, 11, 25]], dtype=torch.float64)
    return features, rois, gt, torch.tensor([True, False, True])


def test_enclosing_boxes():
    a = torch.tensor([[0.0, 0, 2, 2], [5, 5, 6, 6]])
    b = torch.tensor([[1.0, -1, 3, 1], [1, 1, 9, 9]])
    assert enclosing_boxes(a, b).tolist() == [[0, -1, 3, 2], [1, 1, 9, 9]]


def test_one_bin_by_hand():
    # f(y, x) = x: a bilinear average over a box is the feature coordinate of its centre.
    features = torch.arange(8.0).expand(1, 1, 8, 8)
    pool = ContextualRoIAlign(output_size=1)
    rois = torch.tensor([[0.0, 4, 4, 12, 12]])  # centre 8 px = 2 cells, minus half a pixel
    gt = torch.tensor([[8.0, 4, 20, 12]])  # enclosing box 4..20: centre 12 px = 3 cells
    alone = pool(features, rois, gt, torch.tensor([False]), 0.25)
    both = pool(features, rois, gt, torch.tensor([True]), 0.25)
    assert alone.item() == pytest.approx(1.5)
    assert both.item() == pytest.approx(1.5 + 2.5)


@pytest.mark.parametrize(('mode', 'reduce'), [('avg', np.mean), ('max', np.max)])
@pytest.mark.parametrize('size', [1, 3])
def test_against_numpy(case, mode, reduce, size):
    features, rois, gt, positive = case
    out = ContextualRoIAlign(size, 2, mode)(features, rois, gt, positive, 0.25)
    assert out.shape == (3, 3, size, size)
    for r in range(3):
        for c in range(3):
            plane = features[int(rois[r, 0]), c].numpy()
            box, other = rois[r, 1:].tolist(), gt[r].tolist()
            expected = numpy_roi_align(plane, box, 0.25, size, 2, reduce)
            if positive[r]:
                both = [min(box[i], other[i]) for i in (0, 1)]
                both += [max(box[i], other[i]) for i in (2, 3)]
                expected = expected + numpy_roi_align(plane, both, 0.25, size, 2, reduce)
            np.testing.assert_allclose(out[r, c].numpy(), expected, atol=1e-10)


def test_gradient_is_that_of_finite_differences(case):
    features, rois, gt, positive = case
    pool = ContextualRoIAlign(2)
    features = features[:, :1].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: pool(f, rois, gt, positive, 0.25), (features,))


def test_negatives_do_not_read_ground_truth(case):
    features, rois, gt, _ = case
    pool, none = ContextualRoIAlign(3), torch.zeros(3, dtype=torch.bool)
    plain = ContextualRoIAlign(3, contextual=False)
    out = pool(features, rois, gt, none, 0.25)
    assert torch.equal(out, pool(features, rois, torch.full_like(gt, torch.nan), none, 0.25))
    assert torch.equal(out, plain(features, rois, gt, ~none, 0.25))


def test_positive_that_is_its_ground_truth_counts_twice(case):
    features, rois, _, _ = case
    everything = torch.ones(3, dtype=torch.bool)
    out = ContextualRoIAlign(3)(features, rois, rois[:, 1:], everything, 0.25)
    plain = ContextualRoIAlign(3, contextual=False)(features, rois, rois[:, 1:], everything, 0.25)
    torch.testing.assert_close(out, 2 * plain)


def test_list_of_boxes_is_the_same_as_rois(case):
    features, rois, gt, positive = case
    pool = ContextualRoIAlign(3)
    boxes = [rois[:1, 1:], rois[1:, 1:]]
    assert torch.equal(
        pool(features, boxes, gt, positive, 0.25), pool(features, rois, gt, positive, 0.25)
    )


def test_memory_layout_does_not_matter(case):
    features, rois, gt, positive = case
    channels_last = features.contiguous(memory_format=torch.channels_last)
    transposed = rois.t().contiguous().t()
    for contextual in (True, False):
        pool = ContextualRoIAlign(3, contextual=contextual)
        assert torch.equal(
            pool(channels_last, transposed, gt, positive, 0.25),
            pool(features, rois, gt, positive, 0.25),
        )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_pooled_in_float32(case, dtype):
    features, rois, gt, positive = case
    out = ContextualRoIAlign(3)(features.to(dtype), rois.float(), gt.float(), positive, 0.25)
    exact = ContextualRoIAlign(3)(features, rois, gt, positive, 0.25)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), exact, atol=0.05, rtol=0)


def test_no_regions_stay_in_the_graph(case):
    features = case[0].clone().requires_grad_()
    empty = torch.zeros(0, 5, dtype=torch.float64)
    out = ContextualRoIAlign(3)(
        features, empty, empty[:, 1:], torch.zeros(0, dtype=torch.bool), 0.25
    )
    assert out.shape == (0, 3, 3, 3)
    out.sum().backward()
    assert features.grad.abs().sum() == 0


def test_is_registered_and_checks_its_keys():
    assert isinstance(MODELS.build(dict(type='mmdet_lcp.ContextualRoIAlign')), ContextualRoIAlign)
    for key, value in [('output_size', 0), ('sampling_ratio', 0), ('pool_mode', 'sum')]:
        with pytest.raises(CompressionError, match=key):
            ContextualRoIAlign(**{key: value})
