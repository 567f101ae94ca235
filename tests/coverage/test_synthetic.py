"""Noise with objects: what a detector's preprocessor would give."""

from types import SimpleNamespace

import torch

from mmdet_lcp.coverage.synthetic import synthetic_batch


def detector(classes: int) -> SimpleNamespace:
    head = SimpleNamespace(num_classes=classes)
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


def test_the_seed_alone_decides():
    one, two, other = (synthetic_batch(1, 8, detector(2), seed)[0] for seed in (3, 3, 4))
    assert torch.equal(one, two) and not torch.equal(one, other)
