"""Images of two sizes, with masks and segmentations, as a batch of a training step."""

import copy

import numpy as np
import pytest
import torch
import zoo_losses
from mmdet.models import DetDataPreprocessor
from mmdet.testing import demo_mm_inputs
from torch import nn

from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.given import given_images
from mmdet_lcp.selection.images import SelectionImages, detection_loss
from mmdet_lcp.selection.preprocessing import preprocessed

SIZES = [(3, 40, 64), (3, 64, 48)]


@pytest.fixture
def data():
    return demo_mm_inputs(
        2, SIZES, num_items=[2, 1], num_classes=3, with_mask=True, with_semantic=True
    )


def preprocessor(**keys) -> nn.Module:
    return DetDataPreprocessor(
        mean=[100.0] * 3, std=[50.0] * 3, pad_size_divisor=32, pad_mask=True, pad_seg=True, **keys
    )


def test_masks_are_padded_with_their_images(data):
    given = copy.deepcopy(data)
    found = preprocessed(preprocessor(), data)
    assert found['inputs'].shape == (2, 3, 64, 64)
    for number, sample in enumerate(found['data_samples']):
        _, height, width = SIZES[number]
        below, right = 64 - height, 64 - width
        before = given['data_samples'][number]
        image = (given['inputs'][number].float() - 100) / 50
        torch.testing.assert_close(found['inputs'][number, :, :height, :width], image)
        masks = before.gt_instances.masks.masks
        padded = np.pad(masks, ((0, 0), (0, below), (0, right)))
        np.testing.assert_array_equal(sample.gt_instances.masks.masks, padded)
        classes = before.gt_sem_seg.sem_seg.numpy()
        padded = np.pad(classes, ((0, 0), (0, below), (0, right)), constant_values=255)
        np.testing.assert_array_equal(sample.gt_sem_seg.sem_seg.numpy(), padded)
        assert sample.batch_input_shape == (64, 64)


def test_objects_without_an_area_are_left_out(data):
    """In whatever a sample tells of its objects; the loss of such a box is infinite."""
    given = copy.deepcopy(data)
    boxes = data['data_samples'][0].gt_instances.bboxes
    boxes[0, 2] = boxes[0, 0]
    found = preprocessed(preprocessor(), data)['data_samples']
    before = [sample.gt_instances for sample in given['data_samples']]
    assert [len(sample.gt_instances) for sample in found] == [1, 1]
    own = found[0].gt_instances
    torch.testing.assert_close(own.bboxes, before[0].bboxes[1:])
    torch.testing.assert_close(own.labels, before[0].labels[1:])
    height, width = before[0].masks.masks.shape[1:]
    np.testing.assert_array_equal(own.masks.masks[:, :height, :width], before[0].masks.masks[1:])
    torch.testing.assert_close(found[1].gt_instances.bboxes, before[1].bboxes)


@pytest.mark.parametrize('interval', [1, 10])
def test_the_batch_is_not_augmented_and_the_preprocessor_stays(data, interval):
    resize = dict(type='BatchSyncRandomResize', random_size_range=(96, 160), interval=interval)
    own = preprocessor(batch_augments=[resize])
    for _ in range(2):
        found = preprocessed(own, copy.deepcopy(data))
        assert found['inputs'].shape == (2, 3, 64, 64)
    assert len(own.batch_augments) == 1 and own.batch_augments[0]._input_size is None


def test_without_ground_truth(data):
    for sample in data['data_samples']:
        del sample.gt_instances
    assert preprocessed(preprocessor(), data)['inputs'].shape == (2, 3, 64, 64)
    assert preprocessed(preprocessor(), {'inputs': data['inputs']})['data_samples'] is None


def test_mask2former_on_images_of_two_sizes(data):
    """Its loss compares masks of the whole batch: as mmdet's own preprocessor gives it one."""
    detector = zoo_losses.small_detector(zoo_losses.OTHERS['Mask2Former'])
    own = copy.deepcopy(detector.data_preprocessor)
    own.batch_augments = None
    batch = own(copy.deepcopy(data), True)
    expected = SelectionImages(batch['inputs'], None, batch['data_samples'])
    (found,) = given_images(detector, data, SelectionConfig(), seed=0)
    loss = float(detection_loss(detector, found).detach())
    assert loss == pytest.approx(float(zoo_losses.step_by_hand(detector, expected)), rel=1e-5)
