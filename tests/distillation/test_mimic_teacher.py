"""The teacher: frozen, apart from the student, in half precision or from the cache."""

import copy

import pytest
import torch
from made_detectors import packed
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.distillation.mimic_cache import FeatureCache
from mmdet_lcp.distillation.mimic_teacher import Teacher


@pytest.fixture
def data(batch):
    images, samples = packed(batch)
    for number, sample in enumerate(samples):
        sample.set_metainfo(dict(img_path=f'{number}.jpg'))
    return images, samples


def neck_maps(detector, images):
    with torch.no_grad():
        return detector.eval().extract_feat(images)


class TestTeacher:
    def test_maps_are_the_detectors(self, ssd, data):
        expected = neck_maps(copy.deepcopy(ssd), data[0])
        maps = Teacher(ssd.train(), ['neck', 'backbone.layer3']).maps(*data)
        assert list(maps) == ['neck', 'backbone.layer3']
        assert [len(levels) for levels in maps.values()] == [3, 1]
        for found, level in zip(maps['neck'], expected, strict=True):
            torch.testing.assert_close(found, level)
            assert not found.requires_grad

    def test_is_frozen_and_in_eval_mode(self, ssd, data):
        before = copy.deepcopy(ssd.state_dict())
        teacher = Teacher(ssd.train(), ['neck'])
        teacher.maps(*data)
        assert not any(module.training for module in ssd.modules())
        assert not any(p.requires_grad for p in ssd.parameters())
        for key, value in before.items():
            assert torch.equal(ssd.state_dict()[key], value), key

    def test_is_no_part_of_a_module_that_has_it(self, ssd):
        holder = nn.Module()
        holder.teacher = Teacher(ssd, ['neck'])
        assert not list(holder.parameters()) and not list(holder.buffers())
        assert not holder.state_dict()
        holder.train()
        assert not ssd.training

    def test_copies_share_it(self, ssd):
        teacher = Teacher(ssd, ['neck'])
        assert copy.deepcopy({'a': teacher})['a'] is teacher

    def test_modules_behind_the_neck(self, faster_rcnn, data):
        maps = Teacher(faster_rcnn, ['rpn_head.rpn_conv']).maps(*data)
        levels = neck_maps(faster_rcnn, data[0])
        expected = faster_rcnn.rpn_head.rpn_conv(levels[0])  # the first of its runs
        torch.testing.assert_close(maps['rpn_head.rpn_conv'][0], expected)

    def test_half_precision(self, ssd, data):
        expected = neck_maps(ssd, data[0])[0]
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
            lower = ssd.extract_feat(data[0])[0]
        assert lower.dtype == torch.bfloat16
        (found, *_) = Teacher(ssd, ['neck'], half=True).maps(*data)['neck']
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, lower.float())
        assert not torch.equal(found, expected)

    def test_full_precision_inside_autocast(self, ssd, data):
        expected = neck_maps(ssd, data[0])[0]
        with torch.autocast('cpu', torch.bfloat16):
            (found, *_) = Teacher(ssd, ['neck']).maps(*data)['neck']
        torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize('half', [False, True])
    @pytest.mark.parametrize('careless', [None, 'view', 'strides'])
    def test_operators_that_want_another_layout(self, ssd, data, half, careless):
        expected = neck_maps(copy.deepcopy(ssd), data[0])[0]
        layouts = []

        class Layer(nn.Module):
            def forward(self, x):
                layouts.append(x.is_contiguous())
                if careless == 'view':
                    return x.view(len(x), -1).view(x.shape)
                if careless == 'strides':  # reads memory as if (N, C, H, W) lay there in order
                    return x.as_strided(x.shape, torch.empty(x.shape).stride())
                return x

        ssd.backbone.layer1 = nn.Sequential(Layer(), ssd.backbone.layer1)
        teacher = Teacher(ssd, ['neck'], half=half)
        for _ in range(2):
            (found, *_) = teacher.maps(*data)['neck']
            torch.testing.assert_close(
                found, expected, rtol=0, atol=(0.03 if half else 1e-5) * float(expected.max())
            )
            assert found.is_contiguous()
        assert layouts == [True, False, *([False, False] if careless is None else [True, True])]

    def test_the_detector_itself_runs_as_before(self, faster_rcnn, data):
        """Behind a teacher too: mmcv's RoIAlign takes what it reads for contiguous."""
        faster_rcnn.eval()

        def outputs():
            with torch.no_grad():
                return faster_rcnn(*data, mode='tensor')

        before = outputs()
        Teacher(faster_rcnn, ['neck']).maps(*data)
        assert faster_rcnn.extract_feat(data[0])[0].is_contiguous()
        for one, other in zip(before, outputs(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)

    @pytest.mark.parametrize('path', ['data_preprocessor', 'bbox_head.loss_cls'])
    def test_what_gives_no_maps(self, ssd, data, path):
        with pytest.raises(CompressionError, match=f"'{path}' gives no feature maps|no module"):
            Teacher(ssd, [path]).maps(*data)

    def test_converts_images(self, ssd, data):
        teacher = Teacher(ssd, ['neck'], convert=lambda images, samples: 2 * images)
        expected = neck_maps(ssd, 2 * data[0])[0]
        torch.testing.assert_close(teacher.maps(*data)['neck'][0], expected)


@pytest.fixture(params=['memory', 'disk'])
def cache(request, tmp_path):
    return FeatureCache(None if request.param == 'memory' else tmp_path / 'kept', 1.0)


class TestCache:
    def test_runs_once_an_image(self, ssd, data, cache):
        images, samples = data
        plain = Teacher(copy.deepcopy(ssd), ['neck', 'backbone.layer3'])
        teacher = Teacher(ssd, ['neck', 'backbone.layer3'], cache=cache)
        expected = plain.maps(images, samples)
        for order, run in (([0, 1], 2), ([1, 2], 3), ([2, 0, 1], 3)):
            picked = [samples[i] for i in order]
            maps = teacher.maps(images[order], picked)
            assert teacher.images_run == run
            for path, levels in expected.items():
                for found, level in zip(maps[path], levels, strict=True):
                    torch.testing.assert_close(found, level[order])
        assert teacher.images_cached == 0 + 1 + 3

    def test_keeps_what_was_there(self, ssd, data, cache):
        """What is handed out may be changed without harm."""
        teacher = Teacher(ssd, ['neck'], cache=cache)
        first = [level.clone() for level in teacher.maps(*data)['neck']]
        for level in teacher.maps(*data)['neck']:
            level.zero_()
        for found, level in zip(teacher.maps(*data)['neck'], first, strict=True):
            torch.testing.assert_close(found, level)

    def test_files_outlive_the_process_and_may_be_damaged(self, ssd, data, tmp_path):
        images, samples = data
        expected = Teacher(ssd, ['neck'], cache=FeatureCache(tmp_path)).maps(images, samples)
        files = sorted(tmp_path.glob('*.pth'))
        assert len(files) == 3
        files[0].write_bytes(files[0].read_bytes()[:100])
        again = Teacher(ssd, ['neck'], cache=FeatureCache(tmp_path))
        maps = again.maps(images, samples)
        assert (again.images_run, again.images_cached) == (1, 2)
        for found, level in zip(maps['neck'], expected['neck'], strict=True):
            torch.testing.assert_close(found, level)
        assert len(sorted(tmp_path.glob('*'))) == 3
