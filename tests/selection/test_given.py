"""Images of a Python caller: tensors, batches of mmdet's, data sets."""

import detectors
import pytest
import small_ssd
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from torch import nn

from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.given import given_images, labelled


def given(images, detector=None, **config):
    return given_images(detector or nn.Conv2d(3, 2, 1), images, SelectionConfig(**config), 0)


def test_tensors_are_taken_from_the_beginning():
    images = torch.arange(7.0).view(7, 1, 1, 1).expand(7, 3, 4, 4)
    found = given(images, num_images=5, batch_size=2)
    assert [batch.inputs[:, 0, 0, 0].tolist() for batch in found] == [[0, 1], [2, 3], [4]]
    found = given([images[:3], images[3:]], num_images=4)
    assert [len(batch.inputs) for batch in found] == [3, 1]
    assert not labelled(found)


def test_batches_of_a_data_loader_are_preprocessed():
    detector, images = small_ssd.build(), small_ssd.Images()
    batch = pseudo_collate([images[i] for i in range(3)])
    expected = detector.data_preprocessor(dict(batch), False)
    (found,) = given(iter([batch]), detector, num_images=2)
    assert torch.equal(found.inputs, expected['inputs'][:2]) and labelled([found])
    assert [len(boxes) for boxes in found.boxes] == [1, 1]


def test_a_data_set_is_drawn_from_by_the_seed():
    detector = small_ssd.build()
    expected = small_ssd.draw(detector, num_images=4).batches
    found = given(small_ssd.Images(), detector, num_images=4, batch_size=4)
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(found, expected, strict=True))


def test_heads_on_regions_read_the_best_proposals():
    detector = detectors.tiny_detector('faster_rcnn')
    (found,) = given(detectors.noise(64), detector, regions=5)
    assert [len(boxes) for boxes in found.regions.proposals] == [5, 5]


@pytest.mark.parametrize('samples', [[], [DetDataSample()]])
def test_images_without_ground_truth_are_not_labelled(samples):
    found = given([dict(inputs=torch.zeros(1, 3, 4, 4), data_samples=samples)])
    assert not labelled(found)
