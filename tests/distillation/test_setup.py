"""From the `mimic` config to a student with its teacher; what cannot serve is told of."""

import copy

import pytest
import torch
from mmengine.config import Config

from mmdet_lcp import CompressionError
from mmdet_lcp.distillation.config import read_mimic_of
from mmdet_lcp.distillation.mimic_bridges import blank_sample
from mmdet_lcp.distillation.setup import MimicSetup

from .conftest import FIXED

SIZE = (64, 64)


@pytest.fixture
def setup(write_student, tmp_path):
    """Read a student's config with some changes, and set up its teacher."""

    def make(name='setup', extra='', classes=None, dense=None, **mimic):
        cfg = Config.fromfile(write_student(name, extra))
        for key, value in mimic.items():  # `update` would merge
            cfg.mimic[key] = value
        config = read_mimic_of(cfg)
        return MimicSetup(config, 'mimic', cfg, tmp_path, dense, classes)

    return make


def test_teacher_is_the_configs(setup, detectors, plain):
    expected = torch.load(plain.with_name('dense.pth'), weights_only=True)['state_dict']
    model = setup().attach(detectors[0], SIZE, seed=0)
    for key, value in model.mimic.teacher.detector.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_transforms_are_drawn_with_the_seed_alone(setup, detectors):
    weights = []
    for seed, shift in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(shift)
        before = torch.random.get_rng_state()
        model = setup().attach(copy.deepcopy(detectors[0]), SIZE, seed)
        assert torch.equal(torch.random.get_rng_state(), before)
        weights.append(model.mimic.transforms[0].conv.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_given_detector_teaches_where_the_config_names_none(setup, detectors):
    made = setup(dense=detectors[1], teacher=dict(half=True))
    assert made.detector is detectors[1]
    assert made.attach(detectors[0], SIZE, 0).mimic.teacher.half


def test_outputs_alone(setup, detectors):
    """No maps are compared, and nothing is trained along."""
    made = setup(weight=0.0, head_outputs=2.0, taps=[dict(student='nowhere')])
    made.check(detectors[0], SIZE)
    model = made.attach(detectors[0], SIZE, seed=0)
    assert model.mimic.paths == ['bbox_head'] and not list(model.mimic.parameters())
    images = torch.randn(2, 3, *SIZE)
    samples = [blank_sample(SIZE, images) for _ in range(2)]
    losses = model.train()(images, samples, mode='loss')
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_mimic_outputs'}
    made.config.head_outputs = 1.0
    half = made.attach(detectors[0], SIZE, seed=0)(images, samples, mode='loss')
    torch.testing.assert_close(losses['loss_mimic_outputs'], 2 * half['loss_mimic_outputs'])


class TestCache:
    def test_folder_says_what_the_features_depend_on(self, setup, detectors, tmp_path):
        def folder(name='fixed', extra=FIXED, **teacher):
            made = setup(name, extra)
            made._teacher.cache = 'disk'
            for key, value in teacher.items():
                setattr(made._teacher, key, value)
            return made.attach(copy.deepcopy(detectors[0]), SIZE, 0).mimic.teacher.cache.folder

        first = folder()
        assert first.parent == tmp_path / 'teacher_features'
        assert folder() == first
        assert folder(half=True) != first
        assert folder('larger', FIXED.replace('(64, 64)', '(96, 96)')) != first
        assert folder(cache_dir=str(tmp_path / 'shared')).parent == tmp_path / 'shared'

    def test_random_pipeline(self, setup):
        with pytest.raises(CompressionError, match=r'mimic.teacher.cache: .*PhotoMetricDist'):
            cfg = dict(cache='memory')
            setup('augmented', f"mimic['teacher'].update({cfg!r})\n")

    def test_runs_once(self, setup, detectors):
        extra = FIXED + "mimic['teacher'].update(cache='memory')\n"
        model = setup('kept', extra).attach(detectors[0], SIZE, 0)
        images = torch.randn(2, 3, *SIZE)
        samples = [blank_sample(SIZE, images) for _ in range(2)]
        for number, sample in enumerate(samples):
            sample.set_metainfo(dict(img_path=str(number)))
        for _ in range(2):
            model.mimic.teacher.maps(images, samples)
        assert (model.mimic.teacher.images_run, model.mimic.teacher.images_cached) == (2, 2)


class TestBadInput:
    def test_maps_that_do_not_fit_are_found_early(self, setup, detectors):
        made = setup(transform='none')
        with pytest.raises(CompressionError) as caught:
            made.check(detectors[0], SIZE)
        for word in ('neck[0] (16, 16, 16)', 'neck[0] (32, 16, 16)', "transform='conv'"):
            assert word in str(caught.value)

    def test_outputs_of_other_images(self, setup, detectors):
        """A student on smaller images has its priors elsewhere."""
        made = setup(weight=0.0, head_outputs=1.0, image_scale=0.5)
        with pytest.raises(CompressionError, match=r'mimic.head_outputs: the maps .* differ'):
            made.check(detectors[0], SIZE)

    def test_other_classes(self, setup, plain, tmp_path):
        """Features alone may come from a teacher of anything; outputs not."""
        weights = torch.load(plain.with_name('dense.pth'), weights_only=True)
        weights['meta'] = dict(dataset_meta=dict(classes=('cat', 'dog')))
        path = tmp_path / 'cats.pth'
        torch.save(weights, path)
        teacher = dict(config=str(plain), checkpoint=str(path))
        setup(teacher=teacher, classes=('0', '1'))
        setup(teacher=teacher, classes=('cat', 'dog'), head_outputs=1.0)
        words = r"head_outputs.*\['cat', 'dog'\].*\['0', '1'\]"
        with pytest.raises(CompressionError, match=words):
            setup(teacher=teacher, classes=('0', '1'), head_outputs=1.0)

    def test_regions_that_the_student_has_not(self, setup, detectors):
        detectors[0].bbox_head.train_cfg = None
        with pytest.raises(CompressionError, match=r"mimic.regions='proposals': .*train_cfg"):
            setup().check(detectors[0], SIZE)
        setup(regions='map').check(detectors[0], SIZE)
