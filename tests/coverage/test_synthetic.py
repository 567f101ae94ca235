"""Noise with objects: what a detector's preprocessor would give."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmdet_lcp.coverage.synthetic import num_classes, synthetic_batch


def detector(classes: int, masks: bool = False) -> SimpleNamespace:
    head = SimpleNamespace(num_classes=classes)
    if masks:
        return SimpleNamespace(roi_head=SimpleNamespace(bbox_head=head, with_mask=True))
    return SimpleNamespace(bbox_head=head)


def test_images_and_objects():
    images, samples = synthetic_batch(2, 100, detector(80))
    assert images.shape == (2, 3, 100, 100)
    assert abs(float(images.mean())) < 0.02 and abs(float(images.std()) - 1) < 0.02
    one, two = (sample.gt_instances for sample in samples)
    expected = torch.tensor([[10.0, 10, 45, 50], [5, 8, 97, 95], [60, 5, 90, 30]])
    assert torch.allclose(one.bboxes, expected[:2]) and torch.allclose(two.bboxes, expected)
    assert one.labels.tolist() == [0, 1] and two.labels.tolist() == [0, 1, 0]
    assert all(sample.batch_input_shape == (100, 100) for sample in samples)
    assert 'masks' not in one


def test_labels_are_classes_of_the_detector():
    _, samples = synthetic_batch(1, 64, detector(1))
    assert samples[0].gt_instances.labels.tolist() == [0, 0]


def test_masks_fill_their_boxes():
    _, samples = synthetic_batch(1, 100, detector(80, masks=True))
    masks = samples[0].gt_instances.masks.masks
    assert masks.sum((1, 2)).tolist() == [35 * 40, 92 * 87]
    rows, columns = np.nonzero(masks[0])
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 44, 10, 49)


def test_the_seed_alone_decides():
    one, two, other = (synthetic_batch(1, 8, detector(2), seed)[0] for seed in (3, 3, 4))
    assert torch.equal(one, two) and not torch.equal(one, other)


@pytest.mark.parametrize('count', [7, [7, 3]])
def test_number_of_classes(count):
    heads = torch.nn.ModuleList([torch.nn.Identity()])
    heads[0].num_classes = count
    assert num_classes(detector(count)) == 7
    assert num_classes(SimpleNamespace(roi_head=SimpleNamespace(bbox_head=heads))) == 7
    assert num_classes(SimpleNamespace()) == 1
