"""The distance of two detectors' outputs, against PyTorch's own losses and a case by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmdet_lcp.losses import OutputPart, output_distillation_loss


def parts(softmax, seed, rows=7, classes=3):
    torch.manual_seed(seed)
    scores = torch.randn(rows, classes + softmax, dtype=torch.float64)
    boxes, centers = torch.randn(rows, 4).double(), torch.randn(rows, 1).double()
    return [OutputPart(scores, softmax, [boxes, centers])]


@pytest.mark.parametrize('softmax', [True, False])
def test_none_for_the_same_outputs(softmax):
    assert float(output_distillation_loss(parts(softmax, 0), parts(softmax, 0))) < 1e-12


def test_classes_that_compete():
    """`F.kl_div` in nats, over the teacher's number of objects."""
    teacher, student = parts(True, 0), parts(True, 1)
    t, s = teacher[0].scores, student[0].scores
    student[0].values = teacher[0].values
    objects = (1 - t.softmax(1)[:, -1]).sum()
    assert objects > 1
    expected = F.kl_div(s.log_softmax(1), t.softmax(1), reduction='sum') / objects
    torch.testing.assert_close(output_distillation_loss(teacher, student), expected)


def test_classes_with_a_sigmoid_each():
    """Two-class softmaxes are the same: KL of Bernoulli variables."""
    teacher, student = parts(False, 0), parts(False, 1)
    student[0].values = teacher[0].values
    t, s = (
        torch.stack([one[0].scores, torch.zeros_like(one[0].scores)], -1).flatten(0, 1)
        for one in (teacher, student)
    )
    objects = teacher[0].scores.sigmoid().amax(1).sum()
    expected = F.kl_div(s.log_softmax(1), t.softmax(1), reduction='sum') / objects
    torch.testing.assert_close(output_distillation_loss(teacher, student), expected)


def test_boxes_count_where_objects_are():
    """By hand: the second row is background for certain, its error is not seen."""
    sure = torch.tensor([[30.0, -30.0], [-30.0, 30.0], [30.0, -30.0]])
    boxes = torch.tensor([[1.0], [5.0], [3.0]])
    moved = torch.tensor([[2.0], [900.0], [3.0]])
    loss = output_distillation_loss(
        [OutputPart(sure, True, [boxes])], [OutputPart(sure, True, [moved])]
    )
    # mean square error (1 + 0) / 2 over the variance of 1 and 3, which is 1
    assert math.isclose(float(loss), 0.5, rel_tol=1e-5)


def test_boxes_of_a_class_count_by_that_class():
    scores = torch.tensor([[30.0, -30.0, -30.0], [30.0, -30.0, -30.0]])  # both of class 0
    boxes = torch.arange(16.0).reshape(2, 8)
    other = boxes.clone()
    other[:, 4:] += 100  # of class 1
    loss = output_distillation_loss(
        [OutputPart(scores, True, [boxes])], [OutputPart(scores, True, [other])]
    )
    assert float(loss) < 1e-6


def test_outputs_of_unknown_meaning():
    teacher, student = torch.tensor([0.0, 2.0, 4.0]), torch.tensor([1.0, 2.0, 4.0])
    loss = output_distillation_loss(
        [OutputPart(None, values=[teacher])], [OutputPart(None, values=[student])]
    )
    assert math.isclose(float(loss), (1 / 3) / (8 / 3), rel_tol=1e-6)


def test_gradient_goes_to_the_student_alone():
    teacher, student = parts(True, 0), parts(True, 1)
    for one in (teacher[0], student[0]):
        one.scores.requires_grad_()
        one.values[0].requires_grad_()
    output_distillation_loss(teacher, student).backward()
    assert teacher[0].scores.grad is None and teacher[0].values[0].grad is None
    assert student[0].scores.grad.abs().sum() > 0 and student[0].values[0].grad.abs().sum() > 0


def test_no_object_anywhere():
    sure = torch.tensor([[-200.0, 200.0]])
    own = torch.zeros(1, 2, requires_grad=True)
    boxes = torch.ones(1, 4)
    loss = output_distillation_loss(
        [OutputPart(sure, True, [boxes])], [OutputPart(own, True, [boxes + 1])]
    )
    assert math.isclose(float(loss.detach()), math.log(2), rel_tol=1e-5)
