"""Stage 2: the outputs of two RoI heads on the regions that the student has sampled."""

import copy

import numpy as np
import pytest
import torch
from made_detectors import build, packed, two_stage_config
from mmdet.structures.bbox import bbox2roi

from mmdet_lcp import CompressionError
from mmdet_lcp.detectors.recorded_calls import recorded_calls
from mmdet_lcp.detectors.taps import Taps
from mmdet_lcp.distillation.mimic_outputs import HeadOutputs, mean_square
from mmdet_lcp.distillation.mimic_teacher import Teacher


@pytest.fixture
def teacher():
    torch.manual_seed(7)
    config = two_stage_config()
    config.backbone.base_channels = 12
    config.neck.in_channels = [24, 48, 96]
    config.roi_head.bbox_head.fc_out_channels = 40
    detector = build(config)
    for p in detector.roi_head.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return detector


def test_mean_square_by_hand():
    wanted = torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    given = torch.tensor([[0.0, 0.0], [3.0, 0.0], [1.0, 1.0]], requires_grad=True)
    value = mean_square(wanted, given)
    assert value.item() == pytest.approx((5 + 9) / 2 / (2 * 3))
    value.backward()
    assert wanted.grad is None
    np.testing.assert_allclose(given.grad[1].numpy(), [3 / 6, 0])


def test_mean_square_of_nothing_is_part_of_the_graph():
    given = torch.zeros(0, 4, requires_grad=True)
    value = mean_square(torch.zeros(0, 4), given)
    value.backward()
    assert value.item() == 0


def test_losses_by_hand(faster_rcnn, teacher, batch):
    images, samples = packed(batch)
    outputs = HeadOutputs(faster_rcnn, teacher)
    held = Teacher(teacher, [outputs.teacher_path])
    sampler = faster_rcnn.roi_head.bbox_sampler
    taps = Taps(faster_rcnn, outputs.paths)
    with recorded_calls(sampler, 'sample') as calls, outputs.watch(), taps:
        faster_rcnn(images, samples, mode='loss')
    found = outputs.losses(taps, held.maps(images, samples), held, (1.0, 1.0))

    rois = bbox2roi([call.result.priors for call in calls])
    assert len(rois) == len(taps['roi_head.bbox_head'][0])
    with torch.no_grad():
        levels = teacher.eval().extract_feat(images)
        features = teacher.roi_head.bbox_roi_extractor(levels, rois)
        scores, boxes = teacher.roi_head.bbox_head(features)
    for name, wanted, given in (
        ('loss_mimic_cls', scores, taps['roi_head.bbox_head'][0]),
        ('loss_mimic_box', boxes, taps['roi_head.bbox_head'][1]),
    ):
        assert wanted.shape == given.shape
        expected = ((wanted - given) ** 2).mean() / 2
        torch.testing.assert_close(found[name], expected)
        assert found[name] > 0 and found[name].requires_grad


def test_regions_in_the_teachers_pixels(faster_rcnn, teacher, batch):
    """Where the teacher's image is twice as large, so are the boxes."""
    images, samples = packed(batch)
    outputs = HeadOutputs(faster_rcnn, teacher)
    held = Teacher(teacher, [outputs.teacher_path])
    large = torch.nn.functional.interpolate(images, scale_factor=2)
    with outputs.watch(), Taps(faster_rcnn, outputs.paths) as taps:
        faster_rcnn(images, samples, mode='loss')
    rois = outputs._calls[0].args[1]
    found = outputs.losses(taps, held.maps(large, samples), held, (2.0, 2.0))
    with torch.no_grad():
        levels = teacher.extract_feat(large)
        doubled = rois * torch.tensor([1.0, 2, 2, 2, 2])
        scores, _ = teacher.roi_head.bbox_head(
            teacher.roi_head.bbox_roi_extractor(levels, doubled)
        )
    expected = ((scores - taps['roi_head.bbox_head'][0]) ** 2).mean() / 2
    torch.testing.assert_close(found['loss_mimic_cls'], expected)


class TestBadInput:
    def fails(self, student, teacher, *words):
        with pytest.raises(CompressionError) as caught:
            HeadOutputs(student, teacher)
        for word in ('mimic.head_outputs', *words):
            assert word in str(caught.value), caught.value

    def test_one_stage(self, ssd, teacher):
        self.fails(ssd, teacher, 'student is a SingleStageDetector')
        self.fails(teacher, ssd, 'teacher is a SingleStageDetector')

    def test_cascade(self, teacher):
        self.fails(build(two_stage_config(kind='CascadeRCNN')), teacher, 'one box head')

    def test_other_classes(self, faster_rcnn):
        config = two_stage_config()
        config.roi_head.bbox_head.num_classes = 5
        self.fails(faster_rcnn, build(config), 'num_classes', '3', '5', 'head_outputs=0')

    def test_other_coders(self, faster_rcnn):
        config = two_stage_config()
        config.roi_head.bbox_head.bbox_coder.target_stds = (0.2, 0.2, 0.4, 0.4)
        self.fails(faster_rcnn, build(config), 'bbox_coder', '0.4')

    def test_class_agnostic(self, faster_rcnn):
        config = copy.deepcopy(two_stage_config())
        config.roi_head.bbox_head.reg_class_agnostic = True
        self.fails(faster_rcnn, build(config), 'reg_class_agnostic')
