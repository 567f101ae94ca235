"""L_m = 1/(2N) sum_i 1/m_i ||u_i - r(v_i)||^2, by hand, by brute force and by differences."""

import numpy as np
import pytest
import torch
from mmcv.ops import roi_align

from mmdet_lcp import CompressionError
from mmdet_lcp.losses import FeatureMimicLoss, MapPair, feature_mimic_loss
from mmdet_lcp.losses.feature_mimic_loss import cells_inside, region_weights


def pair(teacher, student, regions) -> MapPair:
    return MapPair(
        torch.as_tensor(teacher, dtype=torch.float64),
        torch.as_tensor(student, dtype=torch.float64),
        torch.as_tensor(regions, dtype=torch.float64).reshape(-1, 5),
    )


@pytest.fixture
def by_hand() -> MapPair:
    """Two channels of 2 x 3 cells; squared differences summed over channels:

    5 0 1
    0 4 0
    """
    teacher = torch.zeros(1, 2, 2, 3)
    teacher[0, 0, 0, 0], teacher[0, 1, 0, 0] = 1.0, 2.0
    teacher[0, 1, 0, 2] = 1.0
    student = torch.zeros(1, 2, 2, 3)
    student[0, 0, 1, 1] = -2.0
    # the left upper cell; then the two right columns, a region of 4 cells
    return pair(teacher, student, [[0, 0, 0, 1, 1], [0, 1, 0, 3, 2]])


class TestByHand:
    def test_normalized(self, by_hand):
        # region 1: 5 over 2 * 1 elements; region 2: 1 + 4 over 2 * 4; N = 2
        expected = (5 / 2 + 5 / 8) / (2 * 2)
        assert FeatureMimicLoss()([by_hand]).item() == pytest.approx(expected)

    def test_plain_form(self, by_hand):
        assert FeatureMimicLoss(normalized=False)([by_hand]).item() == pytest.approx(10 / 4)

    def test_gradient(self, by_hand):
        """dL/dr(v) = -(u - r(v)) / (N m_i), summed over the regions that cover the cell."""
        by_hand.student.requires_grad_()
        FeatureMimicLoss()([by_hand]).backward()
        expected = torch.zeros(1, 2, 2, 3, dtype=torch.float64)
        expected[0, 0, 0, 0], expected[0, 1, 0, 0] = -1 / (2 * 2), -2 / (2 * 2)
        expected[0, 1, 0, 2] = -1 / (2 * 8)
        expected[0, 0, 1, 1] = -2 / (2 * 8)
        torch.testing.assert_close(by_hand.student.grad, expected)

    def test_whole_map_is_half_the_mean_square(self):
        rng = np.random.default_rng(0)
        teacher, student = rng.normal(size=(2, 3, 4, 5, 6))
        whole = [[image, 0, 0, 6, 5] for image in range(3)]
        value = FeatureMimicLoss()([pair(teacher, student, whole)])
        assert value.item() == pytest.approx(((teacher - student) ** 2).mean() / 2)

    def test_standardized(self):
        """The difference over the teacher's standard deviation on this map."""
        rng = np.random.default_rng(1)
        teacher, student = rng.normal(3.0, 7.0, size=(2, 2, 4, 5, 6))
        regions = [[0, 1, 1, 4, 3], [1, 0, 2, 6, 5]]
        plain = FeatureMimicLoss()([pair(teacher, student, regions)]).item()
        value = FeatureMimicLoss(standardized=True)([pair(teacher, student, regions)]).item()
        assert value == pytest.approx(plain / teacher.var())
        larger = FeatureMimicLoss(standardized=True)([pair(9 * teacher, 9 * student, regions)])
        assert larger.item() == pytest.approx(value)

    def test_maps_without_features_are_no_division_by_zero(self):
        flat = pair(torch.ones(1, 2, 3, 3), torch.ones(1, 2, 3, 3), [[0, 0, 0, 3, 3]])
        assert FeatureMimicLoss(standardized=True)([flat]).item() == 0


def brute_force(pairs, normalized: bool) -> float:
    """Region by region, cell by cell."""
    total, count = 0.0, 0
    for p in pairs:
        u, r = p.teacher.numpy(), p.student.detach().numpy()
        _, channels, height, width = u.shape
        for image, x1, y1, x2, y2 in p.regions.numpy():
            cells = [
                (i, j)
                for i in range(height)
                for j in range(width)
                if x1 <= j + 0.5 < x2 and y1 <= i + 0.5 < y2
            ]
            assert cells
            squares = sum(((u - r)[int(image), :, i, j] ** 2).sum() for i, j in cells)
            total += squares / (channels * len(cells) if normalized else 1)
            count += 1
    return total / (2 * count)


@pytest.fixture
def random_pairs():
    """Two maps of different sizes with overlapping regions in two images."""
    rng = np.random.default_rng(2)
    pairs = []
    for channels, height, width in ((3, 9, 7), (2, 5, 4)):
        corners = rng.uniform(-1, [width - 1.5, height - 1.5], size=(12, 2))
        sizes = rng.uniform(1.5, 6, size=(12, 2))
        boxes = np.concatenate([corners, corners + np.maximum(sizes, 1.5 - corners)], axis=1)
        images = rng.integers(0, 2, size=(12, 1))
        maps = rng.normal(size=(2, 2, channels, height, width))
        pairs.append(pair(maps[0], maps[1], np.concatenate([images, boxes], axis=1)))
    return pairs


@pytest.mark.parametrize('normalized', [True, False])
def test_against_brute_force(random_pairs, normalized):
    value = FeatureMimicLoss(normalized)(random_pairs)
    assert value.item() == pytest.approx(brute_force(random_pairs, normalized), rel=1e-9)


@pytest.mark.parametrize('pooling', ['pixels', 'roi_align'])
@pytest.mark.parametrize('normalized', [True, False])
def test_gradient_against_differences(random_pairs, normalized, pooling):
    loss = FeatureMimicLoss(normalized, pooling, output_size=3)
    for p in random_pairs:
        p.student.requires_grad_()
    loss(random_pairs).backward()
    rng = np.random.default_rng(3)
    step = 1e-5
    for p in random_pairs:
        flat, grad = p.student.detach().view(-1), p.student.grad.view(-1)
        assert grad.abs().max() > 0
        for index in rng.choice(flat.numel(), 12, replace=False):
            values = []
            for sign in (1, -1):
                flat[index] += sign * step
                values.append(loss(random_pairs).item())
                flat[index] -= sign * step
            expected = (values[0] - values[1]) / (2 * step)
            assert grad[index].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


class TestRoIAlign:
    def test_is_the_difference_of_two(self, random_pairs):
        """mmcv's operator on each detector's map by itself."""
        total, count = 0.0, 0
        for p in random_pairs:
            one, other = (
                roi_align(m, p.regions, (3, 3), 1.0, 2, 'avg', True)
                for m in (p.teacher, p.student)
            )
            total += (one - other).square().sum().item() / (p.teacher.size(1) * 9)
            count += len(p.regions)
        value = FeatureMimicLoss(pooling='roi_align', output_size=3)(random_pairs)
        assert value.item() == pytest.approx(total / (2 * count))

    def test_cells_are_where_pixels_are(self):
        """A ramp over the columns: bins of the region [2, 6) have their middles at 3 and 5."""
        ramp = torch.arange(8.0).expand(1, 1, 8, 8)  # cell j has its centre at j + 0.5
        at = pair(ramp, torch.zeros(1, 1, 8, 8), [[0, 2, 2, 6, 6]])
        value = FeatureMimicLoss(pooling='roi_align', output_size=2)([at])
        assert value.item() == pytest.approx((2 * 2.5**2 + 2 * 4.5**2) / 4 / 2)

    def test_maps_need_not_lie_in_order(self, random_pairs):
        loss = FeatureMimicLoss(pooling='roi_align', output_size=3)
        expected = loss(random_pairs).item()
        for p in random_pairs:
            p.teacher = p.teacher.to(memory_format=torch.channels_last)
        assert loss(random_pairs).item() == pytest.approx(expected)


class TestCells:
    @pytest.mark.parametrize(
        'box, cells',
        [
            ((0, 0, 1, 1), (0, 0, 1, 1)),
            ((0.4, 0.6, 2.6, 3.4), (0, 1, 3, 3)),  # the centres 0.5, 1.5, 2.5 and 1.5, 2.5
            ((0.5, 0.5, 2.5, 2.5), (0, 0, 2, 2)),  # a centre on the far side is outside
            ((-5, -5, 50, 50), (0, 0, 6, 4)),
            ((1.6, 1.6, 2.1, 2.1), (1, 1, 2, 2)),  # none inside: where its own centre lies
            ((9.0, 9.0, 12.0, 12.0), (5, 3, 6, 4)),
            ((-3.0, -3.0, -1.0, -1.0), (0, 0, 1, 1)),
        ],
    )
    def test_by_hand(self, box, cells):
        regions = torch.tensor([[0, *box]])
        assert cells_inside(regions, height=4, width=6).tolist() == [list(cells)]

    def test_weights_against_brute_force(self):
        rng = np.random.default_rng(4)
        images = torch.from_numpy(rng.integers(0, 2, 20))
        low = rng.integers(0, 5, (20, 2))
        cells = torch.from_numpy(np.concatenate([low, low + rng.integers(1, 3, (20, 2))], 1))
        weights = torch.from_numpy(rng.uniform(size=20))
        expected = np.zeros((2, 7, 8))
        for image, (x1, y1, x2, y2), weight in zip(images, cells, weights, strict=True):
            expected[image, y1:y2, x1:x2] += weight.item()
        table = region_weights(images, cells, weights, (2, 7, 8))
        np.testing.assert_allclose(table.numpy(), expected, atol=1e-12)


class TestGraph:
    def test_the_teacher_is_fixed(self, by_hand):
        by_hand.teacher.requires_grad_()
        by_hand.student.requires_grad_()
        FeatureMimicLoss()([by_hand]).backward()
        assert by_hand.teacher.grad is None

    @pytest.mark.parametrize('pooling', ['pixels', 'roi_align'])
    def test_a_map_without_regions_is_part_of_it(self, pooling):
        student = torch.full((2, 3, 4, 4), float('inf'), requires_grad=True)
        nothing = MapPair(torch.zeros(2, 3, 4, 4), student, torch.zeros(0, 5))
        value = FeatureMimicLoss(pooling=pooling)([nothing])
        value.backward()
        assert value.item() == 0
        assert (student.grad == 0).all()

    def test_half_precision_does_not_overflow(self):
        student = torch.full((1, 2, 3, 3), 300.0).half()
        at = MapPair(torch.zeros(1, 2, 3, 3).half(), student, torch.tensor([[0.0, 0, 0, 3, 3]]))
        value = FeatureMimicLoss()([at])
        assert value.item() == 45000.0
        assert value.dtype == torch.float32

    def test_ranks_share_their_number_of_regions(self, by_hand, monkeypatch):
        """The other rank has 6 regions: N is the mean of 2 and 6."""
        alone = FeatureMimicLoss()([by_hand]).item()
        monkeypatch.setattr(feature_mimic_loss, 'reduce_mean', lambda count: (count + 6) / 2)
        assert FeatureMimicLoss()([by_hand]).item() == pytest.approx(alone * 2 / 4)


class TestBadInput:
    def test_shapes(self):
        at = pair(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 4), [[0, 0, 0, 1, 1]])
        with pytest.raises(ValueError, match=r'\(1, 2, 3, 4\).*\(1, 2, 3, 3\)'):
            FeatureMimicLoss()([at])

    @pytest.mark.parametrize(
        'key, value',
        [('pooling', 'spp'), ('output_size', 0), ('normalized', 'yes'), ('standardized', 1)],
    )
    def test_values(self, key, value):
        with pytest.raises(CompressionError, match=f'{key}={value!r}'):
            FeatureMimicLoss(**{key: value})
