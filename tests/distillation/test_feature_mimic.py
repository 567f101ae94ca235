"""Which maps, regions and factors the losses of mimic are made of, on maps drawn at random."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample

from mmdet_lcp import CompressionError
from mmdet_lcp.distillation.feature_mimic import FeatureMimic, whole_maps
from mmdet_lcp.distillation.mimic_bridges import Bridge, FoundMap
from mmdet_lcp.distillation.mimic_regions import Regions, WholeMap
from mmdet_lcp.losses import FeatureMimicLoss

SHAPE = (64, 96)  # of the student's images
SIZES = [(8, 12), (4, 6), (2, 3)]  # of maps with strides 8, 16 and 32
ROIS = torch.tensor([[0.0, 8, 16, 40, 48], [1.0, 0, 0, 96, 64], [1.0, 24, 8, 30, 20]])


def drawn(channels: int, sizes, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, channels, *size, generator=generator) for size in sizes]


def bridges(own, other, kind='conv', path='neck', levels: int | None = None) -> list[Bridge]:
    """Map by map; of one pyramid, or ``levels=1`` for maps by themselves."""
    count = levels or len(own)
    return [
        Bridge(
            FoundMap(path, i, i % count, count, tuple(v.shape[1:])),
            FoundMap('large.neck', i, i % count, count, tuple(u.shape[1:])),
            kind,
        )
        for i, (v, u) in enumerate(zip(own, other, strict=True))
    ]


class Fixed(Regions):
    """The same ones for each batch."""

    paths = ('rpn_head', 'neck')

    def __init__(self, log: list | None = None) -> None:
        self.log = log if log is not None else []

    @contextmanager
    def watch(self):
        self.log.append('regions open')
        yield
        self.log.append('regions closed')

    def choose(self, taps, data_samples):
        self.log.append((taps, data_samples))
        return ROIS


class Outputs:
    """Stands for `HeadOutputs`."""

    paths = ('roi_head.bbox_head', 'neck')

    def __init__(self, log: list | None = None) -> None:
        self.log = log if log is not None else []

    @contextmanager
    def watch(self):
        self.log.append('outputs open')
        yield
        self.log.append('outputs closed')

    def losses(self, *args):
        self.log.append(args)
        return {'loss_mimic_cls': torch.tensor(2.0), 'loss_mimic_box': torch.tensor(3.0)}


def teacher_of(maps, asked: list | None = None):
    def give(*args):
        if asked is not None:
            asked.append(args)
        return {'large.neck': maps}

    return SimpleNamespace(maps=give)


def mimic(own, other, regions=None, kind='conv', **keys) -> FeatureMimic:
    found = keys.pop('bridges', None) or bridges(own, other, kind)
    teacher = keys.pop('teacher', None) or teacher_of(other)
    torch.manual_seed(0)
    return FeatureMimic(teacher, found, regions or WholeMap(), FeatureMimicLoss(), **keys)


@pytest.fixture
def samples():
    meta = dict(img_shape=(50, 90), pad_shape=(64, 96), batch_input_shape=SHAPE)
    return [DetDataSample(metainfo=meta) for _ in range(2)]


@pytest.fixture
def own():
    return drawn(3, SIZES, 0)


@pytest.fixture
def other():
    return drawn(5, SIZES, 1)


class TestPairs:
    def test_maps_by_their_transforms(self, own, other):
        model = mimic(own, other)
        pairs = model.pairs({'neck': own}, {'large.neck': other}, None, SHAPE)
        assert len(pairs) == 3
        for pair, v, u, r in zip(pairs, own, other, model.transforms, strict=True):
            assert pair.teacher is u
            torch.testing.assert_close(
                pair.student, F.conv2d(v, r.conv.weight, r.conv.bias, padding=1)
            )

    def test_maps_by_their_index(self, own, other):
        """Some of the levels, in an order of their own."""
        picked = [bridges(own, other)[i] for i in (2, 0)]
        model = mimic(own, other, bridges=picked)
        pairs = model.pairs({'neck': own}, {'large.neck': other}, None, SHAPE)
        assert [pair.teacher for pair in pairs] == [other[2], other[0]]
        assert [tuple(pair.student.shape) for pair in pairs] == [(2, 5, 2, 3), (2, 5, 8, 12)]

    def test_a_map_by_itself(self, own, other):
        """What a convolution gives is no tuple."""
        model = mimic(own[:1], other[:1])
        (pair,) = model.pairs({'neck': own[0]}, {'large.neck': other}, None, SHAPE)
        conv = model.transforms[0].conv
        torch.testing.assert_close(pair.student, conv(own[0]))

    @pytest.mark.parametrize('kind', ['resize', 'deconv'])
    def test_are_as_large_as_the_teachers(self, own, kind):
        """Deconvolution doubles 2 x 3 cells to 4 x 6; the teacher has rounded to 3 x 5."""
        other = drawn(5, [(3, 5)], 1)
        model = mimic(own[2:], other, kind=kind)
        (pair,) = model.pairs({'neck': own[2:]}, {'large.neck': other}, None, SHAPE)
        transform = model.transforms[0]
        if kind == 'resize':
            before = F.interpolate(own[2], (3, 5), mode='bilinear', align_corners=False)
        else:
            before = transform.deconv(own[2]).relu()[..., :3, :5]
        torch.testing.assert_close(pair.student, transform.conv(before))

    def test_regions_in_the_cells_of_each_map(self, own, other):
        model = mimic(own, other)
        pairs = model.pairs({'neck': own}, {'large.neck': other}, ROIS, SHAPE)
        for pair, stride in zip(pairs, (8, 16, 32), strict=True):
            assert torch.equal(pair.regions[:, 0], ROIS[:, 0])
            torch.testing.assert_close(pair.regions[:, 1:], ROIS[:, 1:] / stride)

    def test_regions_in_the_cells_of_the_teachers_map(self, own):
        """Boxes are in pixels of the student's image, where a cell of the teacher's map has 4."""
        other = drawn(5, [(16, 24)], 1)
        model = mimic(own[:1], other, kind='resize')
        (pair,) = model.pairs({'neck': own[:1]}, {'large.neck': other}, ROIS, SHAPE)
        torch.testing.assert_close(pair.regions[:, 1:], ROIS[:, 1:] / 4)

    def test_the_whole_map(self, own, other):
        pairs = mimic(own, other).pairs({'neck': own}, {'large.neck': other}, None, SHAPE)
        found = [pair.regions.tolist() for pair in pairs]
        assert found == [
            [[0, 0, 0, 12, 8], [1, 0, 0, 12, 8]],
            [[0, 0, 0, 6, 4], [1, 0, 0, 6, 4]],
            [[0, 0, 0, 3, 2], [1, 0, 0, 3, 2]],
        ]

    def test_what_is_no_map(self, own, other):
        with pytest.raises(CompressionError, match=r"mimic\.taps: the student's 'neck' gives no"):
            mimic(own, other).pairs({'neck': torch.zeros(2, 3)}, {}, None, SHAPE)


class TestLevels:
    """The rule says that the three regions belong to the last level, the first and the last."""

    def found(self, own, other, count, levels=None) -> list[list[float]]:
        """The left edges, in pixels, of the regions on each map."""
        rule = (count, lambda rois: torch.tensor([count - 1, 0, count - 1]))
        model = mimic(own, other, bridges=bridges(own, other, levels=levels), levels=rule)
        pairs = model.pairs({'neck': own}, {'large.neck': other}, ROIS, SHAPE)
        strides = (8, 16, 32)
        return [(p.regions[:, 1] * s).tolist() for p, s in zip(pairs, strides, strict=False)]

    def test_a_region_is_compared_on_its_own(self, own, other):
        assert self.found(own, other, 3) == [[0], [], [8, 24]]

    def test_a_pyramid_with_more_levels_than_the_rule(self, own, other):
        assert self.found(own, other, 2) == [[0], [8, 24], []]

    def test_maps_that_are_not_the_pyramid(self, own, other):
        """One by itself, or fewer levels than the rule has."""
        everywhere = [8, 0, 24]
        assert self.found(own, other, 3, levels=1) == [everywhere] * 3
        assert self.found(own[:2], other[:2], 3) == [everywhere] * 2

    def test_a_rule_with_one_level(self, own, other):
        assert self.found(own, other, 1) == [[8, 0, 24]] * 3


class TestLosses:
    def test_half_the_mean_square_times_the_weight(self, own, samples):
        other = drawn(3, SIZES, 1)
        model = mimic(own, other, kind='none', weight=3.0)
        losses = model.losses({'neck': own}, samples)
        expected = sum(((u - v) ** 2).mean() / 2 for u, v in zip(other, own, strict=True)) / 3
        assert list(losses) == ['loss_mimic']
        torch.testing.assert_close(losses['loss_mimic'], 3 * expected)

    def test_regions_by_hand(self, own, samples):
        """At stride 8 the regions are rows 2 to 6 of 1 to 5, all, and one cell."""
        other = drawn(3, SIZES[:1], 1)
        model = mimic(own[:1], other, Fixed(), kind='none')
        loss = model.losses({'neck': own[:1]}, samples)['loss_mimic']
        square = (other[0] - own[0]) ** 2
        means = [square[0, :, 2:6, 1:5].mean(), square[1].mean(), square[1, :, 1:2, 3:4].mean()]
        torch.testing.assert_close(loss, sum(means) / (2 * 3))

    def test_who_is_asked_for_what(self, own, other, samples):
        """The teacher about its own images, the regions about the student's."""
        asked, log = [], []
        model = mimic(own, other, Fixed(log), teacher=teacher_of(other, asked))
        taps, images, theirs = {'neck': own}, torch.zeros(2, 3, 128, 192), [object(), object()]
        model.losses(taps, samples, images, theirs)
        assert len(asked) == len(log) == 1
        assert asked[0][0] is images and asked[0][1] is theirs
        assert log[0][0] is taps and log[0][1] is samples

    def test_outputs_of_the_heads(self, own, other, samples):
        """The teacher's image is 1.5 times as wide and twice as high."""
        log = []
        model = mimic(own, other, outputs=Outputs(log), outputs_weight=0.5)
        taps = {'neck': own}
        losses = model.losses(taps, samples, torch.zeros(2, 3, 128, 144), samples)
        assert (float(losses['loss_mimic_cls']), float(losses['loss_mimic_box'])) == (1.0, 1.5)
        assert 'loss_mimic' in losses
        ((given, maps, teacher, factors),) = log
        assert given is taps and maps == {'large.neck': other} and teacher is model.teacher
        assert factors == (1.5, 2.0)

    def test_transforms_learn_and_the_teachers_maps_do_not(self, own, other, samples):
        for level in [*own, *other]:
            level.requires_grad_()
        model = mimic(own, other)
        model.losses({'neck': own}, samples)['loss_mimic'].backward()
        assert all(p.grad.any() for p in model.parameters())
        assert all(level.grad.any() for level in own)
        assert all(level.grad is None for level in other)


def test_paths_are_those_that_anything_reads(own, other):
    assert mimic(own, other).paths == ['neck']
    found = mimic(own, other, Fixed(), outputs=Outputs()).paths
    assert found == ['neck', 'rpn_head', 'roi_head.bbox_head']


def test_watches_regions_and_outputs(own, other):
    log = []
    with mimic(own, other, Fixed(log), outputs=Outputs(log)).watch():
        assert sorted(log) == ['outputs open', 'regions open']
    assert sorted(log[2:]) == ['outputs closed', 'regions closed']
    with mimic(own, other, Fixed(log := [])).watch():
        assert log == ['regions open']


def test_its_weights_are_the_transforms(own, other):
    """A 3x3 kernel from 3 to 5 channels and a bias, for each of three maps."""
    model = mimic(own, other)
    assert sum(p.numel() for p in model.parameters()) == 3 * (5 * 3 * 9 + 5)
    assert {key.split('.')[0] for key in model.state_dict()} == {'transforms'}


def test_whole_maps_are_of_the_maps_type():
    found = whole_maps(torch.zeros(2, 3, 4, 5, dtype=torch.float64))
    assert found.dtype == torch.float64
    assert found.tolist() == [[0, 0, 0, 5, 4], [1, 0, 0, 5, 4]]
