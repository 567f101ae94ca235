"""The same image for two detectors: other normalisation, other size."""

import pytest
import torch
from made_detectors import packed
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmdet_lcp import CompressionError
from mmdet_lcp.distillation.mimic_inputs import input_conversion, scaled_batch

TORCH = dict(mean=[120.0, 115.0, 100.0], std=[58.0, 57.0, 56.0], bgr_to_rgb=True)
CAFFE = dict(mean=[103.0, 116.0, 123.0], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)
RAW = dict()  # YOLOX's: neither normalised nor swapped


def preprocess(keys, images):
    samples = []
    for image in images:
        shape = tuple(image.shape[1:])
        samples.append(DetDataSample(metainfo=dict(img_shape=shape, ori_shape=shape)))
        samples[-1].gt_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0))
    preprocessor = DetDataPreprocessor(**keys, pad_size_divisor=16)
    data = preprocessor(dict(inputs=list(images), data_samples=samples), False)
    return preprocessor, data['inputs'], data['data_samples']


@pytest.fixture
def images():
    """Of two sizes, so that there is padding."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 30, 40), (3, 32, 28)]
    return [torch.randint(0, 256, shape, generator=generator).byte() for shape in shapes]


@pytest.mark.parametrize('own', [TORCH, CAFFE, RAW, dict(TORCH, pad_value=7)])
@pytest.mark.parametrize('other', [TORCH, CAFFE, RAW])
def test_as_the_teachers_own_preprocessor(images, own, other):
    student, inputs, samples = preprocess(own, images)
    teacher, expected, _ = preprocess(other, images)
    before = inputs.clone()
    convert = input_conversion(student, teacher)
    if own == other:
        assert convert is None
    else:
        torch.testing.assert_close(convert(inputs, samples), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(inputs, before)


class TestScaled:
    def test_by_hand(self, batch):
        images, samples = packed(batch)
        half, scaled = scaled_batch(images, samples, 0.5)
        expected = images.view(3, 3, 32, 2, 32, 2).mean((3, 5))
        torch.testing.assert_close(half, expected)
        for one, other in zip(samples, scaled, strict=True):
            torch.testing.assert_close(other.gt_instances.bboxes, one.gt_instances.bboxes / 2)
            assert torch.equal(other.gt_instances.labels, one.gt_instances.labels)
            for key in ('img_shape', 'pad_shape', 'batch_input_shape'):
                assert other.metainfo[key] == (32, 32)
                assert one.metainfo[key] == (64, 64)
            assert other.metainfo['scale_factor'] == (0.5, 0.5)

    def test_sizes_are_rounded(self, batch):
        images, samples = packed(batch)
        for sample in samples:
            sample.set_metainfo(dict(img_shape=(50, 62)))
        small, scaled = scaled_batch(images, samples, 0.3)
        assert small.shape == (3, 3, 19, 19)
        assert scaled[0].metainfo['img_shape'] == (15, 18)
        factor = 19 / 64
        expected = samples[0].gt_instances.bboxes * factor
        torch.testing.assert_close(scaled[0].gt_instances.bboxes, expected)

    def test_whole_size_is_left_alone(self, batch):
        images, samples = packed(batch)
        same, left = scaled_batch(images, samples, 1)
        assert same is images
        assert all(a is b for a, b in zip(left, samples, strict=True))

    def test_masks(self, batch):
        images, samples = packed(batch)
        samples[0].gt_instances.masks = torch.zeros(3, 64, 64)
        with pytest.raises(CompressionError, match=r'mimic.image_scale.*masks'):
            scaled_batch(images, samples, 0.5)
