"""Distillation of the outputs of dense heads: against NumPy, and heads that write two forms."""

import copy

import numpy as np
import pytest
import torch
from made_detectors import HEADS, build, one_stage_config, packed, ssd_config
from scipy.special import log_softmax

from mmdet_lcp import CompressionError
from mmdet_lcp.detectors.taps import Taps
from mmdet_lcp.distillation.dense_outputs import DenseOutputs
from mmdet_lcp.distillation.mimic_teacher import Teacher

SIZE = (64, 64)
ALIKE = (1.0, 1.0)


def other_weights(detector, seed=5):
    """Another detector of the same kind, which sees something."""
    torch.manual_seed(seed)
    other = copy.deepcopy(detector)
    with torch.no_grad():
        for weight in other.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return other


def losses_of(student, teacher, batch) -> tuple[dict, Taps]:
    images, samples = packed(batch)
    outputs = DenseOutputs(student, teacher, SIZE, SIZE)
    held = Teacher(teacher, [outputs.teacher_path])
    with outputs.watch(), Taps(student, outputs.paths) as taps:
        student(images, samples, mode='loss')
    return outputs.losses(taps, held.maps(images, samples), held, ALIKE), taps


def rows(levels, channels: int) -> np.ndarray:
    """Maps (N, A * K, H, W) of all levels as rows of K numbers."""
    found = []
    for level in levels:
        level = level.detach().double().numpy()
        count, width, height, wide = level.shape
        split = level.reshape(count, width // channels, channels, height, wide)
        found.append(split.transpose(0, 1, 3, 4, 2).reshape(-1, channels))
    return np.concatenate(found)


def test_by_hand(ssd, batch):
    """KL of four classes that compete, and boxes where the teacher sees objects."""
    teacher = other_weights(ssd)
    found, taps = losses_of(ssd.train(), teacher, batch)
    images, samples = packed(batch)
    with torch.no_grad():
        wanted = teacher.eval()(images, samples, mode='tensor')
    t, s = (log_softmax(rows(part[0], 4), axis=1) for part in (wanted, taps['bbox_head']))
    objects = 1 - np.exp(t[:, -1])
    assert objects.sum() > 1
    classes = (np.exp(t) * (t - s)).sum() / objects.sum()
    known, own = (rows(part[1], 4) for part in (wanted, taps['bbox_head']))
    share = (objects / objects.sum())[:, None]
    spread = (share * (known - (share * known).sum(0)) ** 2).sum()
    boxes = (share * (own - known) ** 2).sum() / spread
    assert set(found) == {'loss_mimic_outputs'}
    assert float(found['loss_mimic_outputs']) == pytest.approx(classes + boxes, rel=1e-4)
    assert min(classes, boxes) > 1e-3


def test_the_student_alone_learns(ssd, batch):
    teacher = other_weights(ssd)
    losses_of(ssd.train(), teacher, batch)[0]['loss_mimic_outputs'].backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    for name in ('bbox_head.cls_convs.0.0.weight', 'backbone.conv1.weight'):
        assert ssd.get_parameter(name).grad.abs().sum() > 0, name


# These two write boxes in other units, or other outputs, in eval mode.
TWO_FORMS = {
    'FCOS': dict(HEADS['FCOS'].bbox_head, norm_on_bbox=True),
    'VFNet': dict(type='VFNetHead', strides=[8, 16, 32], regress_ranges=((-1, 16), (16, 32))),
}


@pytest.mark.parametrize('name', HEADS)
def test_no_distance_from_itself(name, batch):
    check_itself(build(HEADS[name]), batch)


@pytest.mark.parametrize('name', TWO_FORMS)
def test_what_losses_read_is_compared(name, batch):
    check_itself(build(one_stage_config(TWO_FORMS[name], kind=name)), batch)


def check_itself(student, batch):
    """Only the head itself is in training mode, so that both see the same features."""
    student.eval()
    student.bbox_head.training = True
    images, samples = packed(batch)
    teacher = copy.deepcopy(student)
    outputs = DenseOutputs(student, teacher, SIZE, SIZE)
    held = Teacher(teacher, [outputs.teacher_path])
    with torch.no_grad(), Taps(student, outputs.paths) as taps:
        student.bbox_head(student.extract_feat(images))
    found = outputs.losses(taps, held.maps(images, samples), held, ALIKE)
    assert abs(float(found['loss_mimic_outputs'])) < 1e-5
    assert not teacher.bbox_head.training


class TestBadInput:
    def fails(self, student, teacher, *words, size=SIZE):
        with pytest.raises(CompressionError) as caught:
            DenseOutputs(student, teacher, SIZE, size)
        for word in ('mimic.head_outputs', *words):
            assert word in str(caught.value), caught.value

    def test_other_classes(self, ssd):
        self.fails(ssd, build(ssd_config(num_classes=5)), 'numbers of classes', '3', '5')

    def test_other_head(self, ssd):
        self.fails(ssd, build(HEADS['FCOS']), 'heads', 'SSDHead', 'FCOSHead')

    def test_other_priors(self):
        head = dict(type='RetinaHead')
        pair = [
            build(
                one_stage_config(
                    head
                    | dict(
                        anchor_generator=dict(
                            type='AnchorGenerator',
                            scales=[scale],
                            ratios=[0.5, 1.0],
                            strides=[8, 16, 32],
                        )
                    )
                )
            )
            for scale in (2, 4)
        ]
        self.fails(*pair, 'priors')

    def test_other_size_of_images(self, ssd):
        self.fails(ssd, copy.deepcopy(ssd), 'maps', '(16, 4, 4)', '(16, 8, 8)', size=(128, 128))

    def test_no_head(self, ssd):
        headless = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))
        self.fails(headless, headless, 'Sequential', 'head_outputs=0')
