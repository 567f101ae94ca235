"""Made-up ground truth: what a detector's preprocessor would give."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.models.detectors import SOLO, MaskFormer
from torch import nn

from mmdet_lcp.graph.made_samples import made_samples, num_classes, plain_samples


def detector(classes: int, masks: bool = False) -> SimpleNamespace:
    head = SimpleNamespace(num_classes=classes)
    if masks:
        return SimpleNamespace(roi_head=SimpleNamespace(bbox_head=head, with_mask=True))
    return SimpleNamespace(bbox_head=head)


def made(count: int, size: int, own) -> list:
    return made_samples(own, torch.zeros(count, 3, size, size))


def test_images_that_are_not_square():
    """By hand: 0.1 to 0.45 of 200 pixels in width, 0.1 to 0.5 of 100 in height."""
    (sample,) = made_samples(detector(80, masks=True), torch.zeros(1, 3, 100, 200))
    assert torch.allclose(sample.gt_instances.bboxes[0], torch.tensor([20.0, 10, 90, 50]))
    masks = sample.gt_instances.masks.masks
    assert masks.shape == (2, 100, 200) and masks[0].sum() == 70 * 40
    assert sample.img_shape == sample.batch_input_shape == (100, 200)
    assert plain_samples(torch.zeros(2, 3, 4, 6))[1].metainfo['img_shape'] == (4, 6)


def test_labels_are_classes_of_the_detector():
    samples = made(1, 64, detector(1))
    assert samples[0].gt_instances.labels.tolist() == [0, 0]


def test_masks_fill_their_boxes():
    samples = made(1, 100, detector(80, masks=True))
    masks = samples[0].gt_instances.masks.masks
    assert masks.sum((1, 2)).tolist() == [35 * 40, 92 * 87]
    rows, columns = np.nonzero(masks[0])
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 44, 10, 49)


@pytest.mark.parametrize('count', [7, [7, 3]])
def test_number_of_classes(count):
    heads = torch.nn.ModuleList([torch.nn.Identity()])
    heads[0].num_classes = count
    assert num_classes(detector(count)) == 7
    assert num_classes(SimpleNamespace(roi_head=SimpleNamespace(bbox_head=heads))) == 7
    assert num_classes(SimpleNamespace()) == 1


class Bare:
    """An instance of one of mmdet's detectors without what it would build."""

    def __init__(self, **attributes) -> None:
        nn.Module.__init__(self)
        for name, value in attributes.items():
            object.__setattr__(self, name, value)


class BareSOLO(Bare, SOLO):
    pass


class BareMaskFormer(Bare, MaskFormer):
    pass


def test_one_stage_detectors_that_learn_masks():
    head = SimpleNamespace(num_classes=5)
    solo = BareSOLO(bbox_head=None, mask_head=head)
    samples = made(1, 100, solo)
    assert num_classes(solo) == 5
    assert samples[0].gt_instances.masks.masks.sum((1, 2)).tolist() == [35 * 40, 92 * 87]
    assert 'gt_sem_seg' not in samples[0] and 'proposals' not in samples[0]


def test_class_maps_of_panoptic_detectors():
    """80 things and 53 kinds of stuff: what is no object is of the first of these."""
    detector = BareMaskFormer(num_things_classes=80, num_stuff_classes=53)
    assert num_classes(detector) == 80
    samples = made(1, 100, detector)
    assert 'masks' in samples[0].gt_instances
    found = samples[0].gt_sem_seg.sem_seg
    expected = np.full((1, 100, 100), 80)
    expected[:, 10:50, 10:45] = 0
    expected[:, 8:95, 5:97] = 1
    assert found.numpy().tolist() == expected.tolist()


def test_class_maps_of_heads_beside_the_regions():
    """HTC's: the last class is what is around the objects."""
    own = detector(80, masks=True)
    own.roi_head.semantic_head = SimpleNamespace(num_classes=183)
    found = made(1, 100, own)[0].gt_sem_seg.sem_seg
    assert found.shape == (1, 100, 100)
    assert found[0, 0, 0] == 182 and found[0, 60, 60] == 1


def test_which_pixels_look_alike():
    """BoxInst compares each with 8 neighbours, on every fourth row and column."""
    own = detector(3)
    own.data_preprocessor = SimpleNamespace(pairwise_size=3, mask_stride=4)
    samples = made(2, 64, own)
    for sample in samples:
        alike = sample.gt_instances.pairwise_masks
        assert alike.shape == (len(sample.gt_instances), 8, 16, 16)
        assert set(alike.unique().tolist()) == {0, 1}
        assert torch.equal(alike[0], alike[1])  # of the image, whatever the object


def test_a_detector_that_proposes_nothing_is_given_regions():
    own = detector(3)
    own.with_rpn = False
    sample = made(1, 100, own)[0]
    regions = sample.proposals.bboxes
    assert len(regions) > len(sample.gt_instances)
    assert torch.equal(regions[:2], sample.gt_instances.bboxes)
    assert regions.min() >= 0 and regions.max() <= 100
    assert (regions[:, 2:] > regions[:, :2]).all()
