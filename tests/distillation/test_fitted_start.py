"""The transforms' start against NumPy's least squares, and what it is good for."""

import copy

import numpy as np
import pytest
import torch

from mmdet_lcp.distillation import fitted_start
from mmdet_lcp.distillation.config import TapConfig
from mmdet_lcp.distillation.feature_mimic import FeatureMimic
from mmdet_lcp.distillation.fitted_start import fit_transforms, unexplained_text
from mmdet_lcp.distillation.mimic_bridges import blank_sample, find_bridges
from mmdet_lcp.distillation.mimic_detector import MimicDetector
from mmdet_lcp.distillation.mimic_regions import WholeMap
from mmdet_lcp.distillation.mimic_teacher import Teacher
from mmdet_lcp.losses import FeatureMimicLoss
from mmdet_lcp.selection.images import SelectionImages

SIZE = (64, 64)


def model_of(detectors, kind='conv', scale=1.0):
    student, teacher = detectors
    size = tuple(round(side * scale) for side in SIZE)
    bridges = find_bridges(student, teacher, [TapConfig()], kind, size, SIZE)
    mimic = FeatureMimic(
        Teacher(teacher, ['neck']), bridges, WholeMap(), FeatureMimicLoss(standardized=True)
    )
    return MimicDetector(student, mimic, image_scale=scale)


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(4):
        images = torch.randn(2, 3, *SIZE, generator=generator)
        images = torch.nn.functional.avg_pool2d(images, 9, 1, 4) * 9  # smooth, as images are
        samples = [blank_sample(SIZE, images) for _ in range(2)]
        found.append(SelectionImages(images, None, samples))
    return found


@torch.no_grad()
def as_in_training(student, batches):
    """The student's maps with the statistics of each batch."""
    student = copy.deepcopy(student).train()
    levels = [student.extract_feat(batch.inputs) for batch in batches]
    return [torch.cat(level) for level in zip(*levels, strict=True)]


@torch.no_grad()
def taught(teacher, batches):
    return teacher.eval().extract_feat(torch.cat([batch.inputs for batch in batches]))


def rows_of(maps):
    """What a 3x3 kernel reads at every cell, by hand: zeros around the map."""
    maps = maps.numpy()
    images, channels, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows = np.zeros((images, height, width, channels, 3, 3))
    for i in range(height):
        for j in range(width):
            rows[:, i, j] = padded[:, :, i : i + 3, j : j + 3]
    return rows.reshape(images * height * width, -1)


def test_is_the_least_squares_solution(detectors, batches):
    model = model_of(detectors)
    unexplained = fit_transforms(model, batches)
    own, wanted = as_in_training(detectors[0], batches), taught(detectors[1], batches)
    assert len(unexplained) == 3
    for level, (name, part) in enumerate(unexplained.items()):
        assert name.startswith(f'neck[{level}]')
        x = rows_of(own[level])
        y = wanted[level].permute(0, 2, 3, 1).flatten(0, 2).numpy()
        if len(x) < 400:  # the smaller maps have more unknowns than cells
            continue
        conv = model.mimic.transforms[level].conv
        kernel = conv.weight.detach().flatten(1).numpy()
        fitted = x @ kernel.T + conv.bias.detach().numpy()
        found = ((y - fitted) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
        assert part == pytest.approx(found, rel=1e-3)
        design = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        best = design @ np.linalg.lstsq(design, y, rcond=None)[0]
        least = ((y - best) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
        # the ridge costs a little on the images at hand
        assert least <= found * (1 + 1e-6)
        assert found < least + 0.1


def test_lowers_the_loss(detectors, batches):
    random, fitted = model_of(detectors), model_of(detectors)
    for transform in random.mimic.transforms:
        transform.init_weights()
    fit_transforms(fitted, batches)
    values = []
    for model in (random, fitted):
        model.train()
        with torch.no_grad():
            images, samples = batches[0].inputs, batches[0].data_samples
            maps = model.mimic.teacher.maps(images, samples)
            taps = {'neck': model.detector.extract_feat(images)}
            values.append(float(model.mimic.loss(model.mimic.pairs(taps, maps, None, SIZE))))
    assert values[1] < 0.5 * values[0]


def test_a_copy_of_the_teacher_is_explained_whole(detectors, batches):
    teacher = detectors[1]
    student = copy.deepcopy(teacher).eval()
    student.train = lambda mode=True: student  # or its norms take the statistics of the batch
    unexplained = fit_transforms(model_of((student, teacher)), batches)
    assert next(iter(unexplained.values())) < 0.01


def test_wide_convolutions_get_their_middle_tap(detectors, batches, monkeypatch):
    monkeypatch.setattr(fitted_start, 'MAX_ROWS', 9 * 16 - 1)
    model = model_of(detectors)
    unexplained = fit_transforms(model, batches)
    own = as_in_training(detectors[0], batches)[0]
    wanted = taught(detectors[1], batches)[0]
    with torch.no_grad():
        conv = model.mimic.transforms[0].conv
        outer = conv.weight.clone()
        outer[:, :, 1, 1] = 0
        assert (outer == 0).all() and conv.weight.abs().sum() > 0
        error = (wanted - conv(own)).square().sum()
    variance = (wanted - wanted.mean((0, 2, 3), keepdim=True)).square().sum()
    assert next(iter(unexplained.values())) == pytest.approx(float(error / variance), rel=1e-3)


def test_small_images_for_the_student(detectors, batches):
    model = model_of(detectors, 'resize', 0.5)
    unexplained = fit_transforms(model, batches)
    assert all(part < 1 for part in unexplained.values())
    model.train()
    with torch.no_grad():
        images = torch.nn.functional.avg_pool2d(batches[0].inputs, 2)
        own = model.detector.extract_feat(images)[0]
        wanted = detectors[1].extract_feat(batches[0].inputs)[0]
        found = model.mimic.transforms[0](own, wanted.shape[-2:])
        left = (wanted - found).square().sum()
        assert float(left / (wanted - wanted.mean((0, 2, 3), keepdim=True)).square().sum()) < 0.95


def test_nothing_to_fit(detectors, batches):
    model = model_of(detectors, 'deconv', 0.5)
    before = copy.deepcopy(model.state_dict())
    assert fit_transforms(model, batches) == {}
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    assert 'no transform' in unexplained_text({})
    assert 'neck[0] 12.3%' in unexplained_text({'neck[0]': 0.1234})


def test_the_student_stays_as_it_is(detectors, batches):
    model = model_of(detectors).train()
    model.detector.neck.eval()
    before = copy.deepcopy(model.detector.state_dict())
    modes = [module.training for module in model.modules()]
    fit_transforms(model, batches)
    assert [module.training for module in model.modules()] == modes
    for key, value in before.items():
        assert torch.equal(value, model.detector.state_dict()[key]), key


def test_the_same_each_time(detectors, batches):
    weights = []
    for _ in range(2):
        model = model_of(detectors)
        torch.rand(7)
        fit_transforms(model, batches)
        weights.append(model.mimic.transforms.state_dict())
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
