"""Which maps are paired, and what is said of those that no transform can pair."""

import copy

import pytest
import torch
from made_detectors import HEADS, build, ssd_config, two_stage_config

from mmdet_lcp import CompressionError
from mmdet_lcp.distillation.config import TapConfig
from mmdet_lcp.distillation.mimic_bridges import default_path, find_bridges, find_maps

SIZE = (64, 64)


def narrow():
    config = ssd_config()
    config.backbone.base_channels = 4
    config.neck.update(in_channels=(16, 32), out_channels=(16, 32, 16))
    config.bbox_head.in_channels = (16, 32, 16)
    return build(config)


def find(student, teacher, *taps, transform='conv', size=SIZE, teacher_size=SIZE):
    return find_bridges(student, teacher, taps or [TapConfig()], transform, size, teacher_size)


class TestShapes:
    def test_by_a_forward_pass(self, ssd):
        with torch.no_grad():
            levels = ssd.extract_feat(torch.zeros(1, 3, *SIZE))
        found = find_maps(ssd, 'neck', SIZE, 'student')
        assert [m.shape for m in found] == [tuple(x.shape[1:]) for x in levels]
        assert [(m.index, m.level, m.levels) for m in found] == [(i, i, 3) for i in range(3)]
        (found,) = find_maps(ssd, 'backbone.layer1', SIZE, 'student')
        assert (found.shape, found.level, found.levels) == ((8, 16, 16), 0, 1)

    def test_behind_the_neck_of_two_stages(self, faster_rcnn):
        (found,) = find_maps(faster_rcnn, 'rpn_head.rpn_conv', SIZE, 'teacher')
        assert found.shape == (16, 8, 8)

    def test_scores_and_boxes_of_one_stage(self, ssd):
        with torch.no_grad():
            scores, boxes = ssd.bbox_head(ssd.eval().extract_feat(torch.zeros(1, 3, *SIZE)))
        found = find_maps(ssd, 'bbox_head', SIZE, 'student')
        assert [m.shape for m in found] == [tuple(x.shape[1:]) for x in [*scores, *boxes]]

    def test_scores_and_boxes_of_a_head(self, faster_rcnn):
        found = find_maps(faster_rcnn, 'rpn_head', SIZE, 'teacher')
        channels = [m.shape[0] for m in found]
        assert channels == [2] * 3 + [8] * 3  # two anchors a place
        assert [m.index for m in found] == list(range(6))
        assert [(m.level, m.levels) for m in found] == 2 * [(i, 3) for i in range(3)]

    def test_leaves_the_detector_as_it_is(self, ssd):
        ssd.train()
        before = copy.deepcopy(ssd.state_dict())
        modes = [module.training for module in ssd.modules()]
        find_maps(ssd, 'neck', SIZE, 'student')
        assert [module.training for module in ssd.modules()] == modes and any(modes)
        assert all(torch.equal(value, ssd.state_dict()[key]) for key, value in before.items())


class TestDefault:
    def test_maps_that_the_head_reads(self, ssd):
        bridges = find(narrow(), ssd)
        assert [(b.student.path, b.teacher.path, b.student.index) for b in bridges] == [
            ('neck', 'neck', level) for level in range(3)
        ]
        assert [b.student.shape for b in bridges] == [(16, 4, 4), (32, 2, 2), (16, 1, 1)]
        assert [b.teacher.shape for b in bridges] == [(32, 4, 4), (64, 2, 2), (32, 1, 1)]

    def test_without_a_neck(self):
        config = two_stage_config()
        config.pop('neck')
        config.backbone.out_indices = (2,)
        config.rpn_head.in_channels = 32
        config.rpn_head.anchor_generator.strides = [16]
        config.roi_head.bbox_roi_extractor.update(featmap_strides=[16], out_channels=32)
        config.roi_head.bbox_head.in_channels = 32
        detector = build(config)
        assert default_path(detector) == 'backbone'
        (bridge,) = find(detector, copy.deepcopy(detector))
        assert bridge.student.shape == bridge.teacher.shape == (32, 4, 4)

    @pytest.mark.parametrize('name', HEADS)
    def test_every_kind_of_detector(self, name):
        detector = build(HEADS[name])
        assert len(find(detector, copy.deepcopy(detector))) == 3


class TestTaps:
    def test_named(self, ssd):
        tap = TapConfig(student='backbone.layer2', teacher='backbone.layer2', transform='none')
        (bridge,) = find(copy.deepcopy(ssd), ssd, tap)
        assert bridge.kind == 'none'
        assert bridge.student.shape == (16, 8, 8)

    def test_the_students_path_serves_both(self, ssd):
        (bridge,) = find(narrow(), ssd, TapConfig(student='backbone.layer2'))
        assert bridge.student.path == bridge.teacher.path == 'backbone.layer2'

    def test_some_levels(self, ssd):
        bridges = find(narrow(), ssd, TapConfig(levels=[2, 0]))
        assert [b.student.index for b in bridges] == [0, 2]

    def test_transforms_have_the_shapes(self, ssd):
        for bridge in find(narrow(), ssd):
            transform = bridge.build()
            found = transform(torch.zeros(2, *bridge.student.shape), bridge.teacher.shape[1:])
            assert found.shape == (2, *bridge.teacher.shape)


class TestSizes:
    def test_half_an_image(self, ssd):
        bridges = find(narrow(), ssd, transform='deconv', size=(64, 64), teacher_size=(128, 128))
        assert [b.student.shape[1:] for b in bridges] == [(4, 4), (2, 2), (1, 1)]
        assert [b.teacher.shape[1:] for b in bridges] == [(8, 8), (4, 4), (2, 2)]

    def test_rounded_sizes_still_fit(self, ssd):
        """An odd size: 2 x 3 cells against 5."""
        bridges = find(narrow(), ssd, transform='deconv', size=(40, 40), teacher_size=(80, 80))
        sizes = [(b.student.shape[1], b.teacher.shape[1]) for b in bridges]
        assert sizes == [(3, 5), (2, 3), (1, 2)]

    def test_any_sizes_with_resize(self, ssd):
        bridges = find(narrow(), ssd, transform='resize', size=(64, 64), teacher_size=(192, 96))
        assert bridges[0].student.shape == (16, 4, 4)
        assert bridges[0].teacher.shape == (32, 12, 6)


class TestBadInput:
    def fails(self, *words, student, teacher, **keys):
        with pytest.raises(CompressionError) as caught:
            find(student, teacher, *keys.pop('taps', ()), **keys)
        for word in ('mimic.taps', *words):
            assert word in str(caught.value), caught.value

    def test_other_strides(self, ssd):
        """Both shapes, and the fix."""
        tap = TapConfig(student='backbone.layer2', teacher='backbone.layer3')
        words = ['(8, 8, 8)', '(32, 4, 4)', "transform='resize'", "'deconv'", 'same stride']
        self.fails(*words, student=narrow(), teacher=ssd, taps=[tap])

    def test_other_channels_without_a_transform(self, ssd):
        words = ['(16, 4, 4)', '(32, 4, 4)', "transform='conv'"]
        self.fails(*words, student=narrow(), teacher=ssd, transform='none')

    def test_deconv_of_another_factor(self, ssd):
        words = ['(16, 4, 4)', 'factor of 2', "transform='resize'"]
        self.fails(*words, student=narrow(), teacher=ssd, transform='deconv')
        self.fails(
            *words,
            student=narrow(),
            teacher=ssd,
            transform='deconv',
            size=(64, 64),
            teacher_size=(256, 256),
        )

    def test_other_numbers_of_maps(self, ssd, faster_rcnn):
        tap = TapConfig(student='backbone', teacher='neck')
        words = ['2 maps', '3', 'levels=[...]', '(16, 4, 4)']
        self.fails(*words, student=narrow(), teacher=ssd, taps=[tap])

    def test_level_that_is_not_there(self, ssd):
        words = ['levels=[3]', 'the last level is 2']
        self.fails(*words, student=narrow(), teacher=ssd, taps=[TapConfig(levels=[3])])

    @pytest.mark.parametrize('whose', ['student', 'teacher'])
    def test_misspelt_path(self, ssd, whose):
        taps = [TapConfig(**{'student': 'neck', whose: 'neckk'})]
        self.fails(
            f'the {whose}',
            "'neckk'",
            "did you mean 'neck'",
            student=narrow(),
            teacher=ssd,
            taps=taps,
        )

    def test_no_maps(self, ssd):
        taps = [TapConfig(student='data_preprocessor')]
        words = "'data_preprocessor' gives no feature maps"
        self.fails(words, student=narrow(), teacher=ssd, taps=taps)
