"""Selection images, and the detector's loss on them."""

import copy
import os
import random

import detectors
import numpy as np
import pytest
import torch
import zoo_losses
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes, bbox2roi
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp.graph.regions import Regions
from mmdet_lcp.selection.images import (
    SelectionImages,
    detection_loss,
)

SIZE = 64
BOXES = [[[4.0, 6, 30, 40], [20, 20, 60, 50]], [[10.0, 30, 40, 62]]]


def samples_of(kind=torch.tensor) -> list[DetDataSample]:
    meta = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), (SIZE,) * 2)
    found = []
    for number, boxes in enumerate(BOXES):
        sample = DetDataSample(metainfo=dict(meta, scale_factor=(1.0, 1.0), img_id=number))
        labels = torch.arange(len(boxes))
        sample.gt_instances = InstanceData(bboxes=kind(boxes), labels=labels)
        found.append(sample)
    return found


@pytest.fixture(scope='module')
def retinanet():
    return detectors.tiny_detector('retinanet')


@pytest.fixture
def images():
    return SelectionImages(detectors.noise(SIZE), None, samples_of())


# ------------------------------------------------------------------ a batch


@pytest.mark.parametrize('kind', [torch.tensor, HorizontalBoxes])
def test_boxes_are_plain_tensors(kind):
    found = SelectionImages(detectors.noise(SIZE), None, samples_of(kind)).boxes
    assert all(type(boxes) is torch.Tensor for boxes in found)
    assert [boxes.tolist() for boxes in found] == BOXES


def test_the_first_image_alone(images):
    images.samples = object()  # of the auxiliary network
    rois = torch.tensor([[1.0, 0, 0, 9, 9], [0, 1, 1, 8, 8], [0, 2, 2, 7, 7]])
    images.regions = Regions([torch.zeros(3, 4), torch.ones(2, 4)], [rois])
    first = images.first()
    assert torch.equal(first.inputs, images.inputs[:1]) and first.samples is None
    assert first.data_samples == images.data_samples[:1]
    assert [len(boxes) for boxes in first.regions.proposals] == [3]
    assert torch.equal(first.regions.rois[0], rois[1:])
    assert len(images.inputs) == 2 and len(images.data_samples) == 2  # as it was
    images.regions = None
    assert images.first().regions is None


@torch.no_grad()
def test_run_is_mmdets_tensor_forward(retinanet, images):
    expected = retinanet(images.inputs, mode='tensor')
    assert detectors.distance(images.run(retinanet), expected) == 0
    without = SelectionImages(images.inputs, None)
    assert detectors.distance(without.run(retinanet), expected) == 0


def test_run_passes_on_the_ground_truth(images):
    """Where there is some; the images are the batch's."""

    class Noting(nn.Module):
        def forward(self, *args, mode):
            return args, mode

    args, mode = images.run(Noting())
    assert mode == 'tensor' and args[0] is images.inputs and args[1] is images.data_samples
    args, mode = SelectionImages(images.inputs, None).run(Noting())
    assert mode == 'tensor' and len(args) == 1


@torch.no_grad()
def test_heads_run_on_the_batchs_regions(images):
    """What mmdet's head gives for them, and not for the RPN's."""
    detector = detectors.tiny_detector('faster_rcnn')
    boxes = [torch.tensor(each) + 1 for each in BOXES]
    images.regions = Regions(boxes)
    features = detector.extract_feat(images.inputs)
    expected = detector.roi_head._bbox_forward(features, bbox2roi(boxes))
    _, found = images.run(detector)
    assert detectors.distance(found, [expected['cls_score'], expected['bbox_pred']]) == 0
    assert len(expected['cls_score']) == 3


# ------------------------------------------------------------------ the detector's loss


def test_detection_loss_is_the_sum_of_all_terms(retinanet, images):
    """As mmdet logs them, a list for each level."""
    terms = retinanet(images.inputs, samples_of(), mode='loss')
    assert set(terms) == {'loss_cls', 'loss_bbox'}
    expected = sum(float(level) for levels in terms.values() for level in levels)
    found = detection_loss(retinanet, images)
    assert found.shape == () and found.requires_grad
    assert float(found) == pytest.approx(expected, rel=1e-6) and expected > 0
    with torch.no_grad():
        assert not detection_loss(retinanet, images).requires_grad


FAMILIES = zoo_losses.CHEAP | (zoo_losses.OTHERS if os.environ.get('WHOLE_ZOO') else {})


@pytest.mark.parametrize('name', FAMILIES)
def test_detection_loss_is_that_of_a_training_step(name):
    """Of a detector in eval mode, twice the same; with WHOLE_ZOO set in sixty more families."""
    detector = zoo_losses.small_detector(FAMILIES[name])
    batch = zoo_losses.batch_for(name, detector)
    expected = float(zoo_losses.step_by_hand(detector, batch))
    before = copy.deepcopy(detector.state_dict())
    found = [float(detection_loss(detector, batch).detach()) for _ in range(2)]
    assert found[0] == pytest.approx(expected, rel=1e-5) and found[1] == found[0]
    after = detector.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in after.items())
    assert not any(module.training for module in detector.modules())


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Drawing(nn.Module):
    """Draws for its loss from every generator, as two-stage detectors do."""

    def loss(self, inputs, data_samples):
        return {'loss_drawn': torch.tensor(draw())}

    def parse_losses(self, losses):
        return losses['loss_drawn'].sum(), {}


def test_regions_are_drawn_by_the_seed(images):
    seed_all(5)
    expected, following = sum(draw()), draw()
    seed_all(5)
    draw()
    found = [float(detection_loss(Drawing(), images, seed)) for seed in (5, 6, 5)]
    assert draw() == following  # the generators are where they were
    assert found[0] == found[2] == pytest.approx(expected, rel=1e-6)
    assert found[1] != pytest.approx(expected, rel=1e-3)


# ------------------------------------------------------------------ an attachment's losses
