import math

import numpy as np
import pytest
import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.losses import LocalizationAwareLoss, auxiliary_loss
from mmdet_lcp.registry import MODELS


def giou(a, b):
    """GIoU = IoU - (|C| - U) / |C|, box by box."""
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = area(a) + area(b) - width * height
    enclosing = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return width * height / union - (enclosing - union) / enclosing


def case():
    return dict(
        cls_scores=torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 0, 3], [1, 0, 0]]),
        boxes=torch.tensor(
            [[0.0, 0, 2, 2], [0, 0, 1, 1], [5, 5, 9, 9], [1, 1, 2, 2]], requires_grad=True
        ),
        labels=torch.tensor([0, 1, 2, 2]),
        gt_boxes=torch.tensor([[1.0, 1, 3, 3], [2, 0, 3, 1], [0, 0, 0, 0], [0, 0, 0, 0]]),
        positive=torch.tensor([True, True, False, False]),
    )


def test_by_hand():
    # Overlapping: IoU 1/7, C = 9, U = 7; apart: IoU 0, C = 3, U = 2.
    first, second = 1 / 7 - 2 / 9, -1 / 3
    inputs = case()
    assert giou([0, 0, 2, 2], [1, 1, 3, 3]) == pytest.approx(first)
    losses = LocalizationAwareLoss()(**inputs)
    assert losses['loss_aux_box'].item() == pytest.approx(
        50 * ((1 - first) + (1 - second)) / 2, rel=1e-5
    )
    # Cross-entropy of positives and negatives, over the two positives.
    entropy = (
        math.log(math.exp(2) + 2)
        - 2
        + math.log(math.e + 2)
        - 1
        + math.log(math.exp(3) + 2)
        - 3
        + math.log(math.e + 2)
        - 0
    )
    assert losses['loss_aux_cls'].item() == pytest.approx(entropy / 2, rel=1e-5)


def test_giou_of_random_boxes():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, size=(2, 20, 2))
    boxes, gt = (
        np.concatenate([corner, corner + rng.uniform(1, 40, size=(20, 2))], axis=1)
        for corner in corners
    )
    positive = torch.ones(20, dtype=torch.bool)
    losses = LocalizationAwareLoss(box_weight=7.0)(
        torch.zeros(20, 3),
        torch.tensor(boxes, dtype=torch.float32),
        torch.zeros(20, dtype=torch.long),
        torch.tensor(gt, dtype=torch.float32),
        positive,
    )
    expected = 7 * np.mean([1 - giou(a, b) for a, b in zip(boxes, gt, strict=True)])
    assert losses['loss_aux_box'].item() == pytest.approx(expected, rel=1e-5)
    assert losses['loss_aux_cls'].item() == pytest.approx(math.log(3), rel=1e-5)


def test_weights_scale_their_own_loss():
    plain = LocalizationAwareLoss(1.0, 1.0)(**case())
    scaled = LocalizationAwareLoss(2.0, 0.0)(**case())
    assert scaled['loss_aux_cls'] == 2 * plain['loss_aux_cls']
    assert scaled['loss_aux_box'] == 0


def test_negatives_do_not_move_boxes():
    inputs = case()
    LocalizationAwareLoss()(**inputs)['loss_aux_box'].backward()
    moved = inputs['boxes'].grad.abs().sum(dim=1)
    assert (moved[:2] > 0).all()
    assert (moved[2:] == 0).all()


def test_without_positives_stays_in_the_graph():
    inputs = case()
    inputs['positive'] = torch.zeros(4, dtype=torch.bool)
    inputs['labels'] = torch.full((4,), 2)
    losses = LocalizationAwareLoss()(**inputs)
    assert losses['loss_aux_box'].item() == 0
    # Divided by 1, not by 0.
    assert 0 < losses['loss_aux_cls'].item() < 10
    losses['loss_aux_box'].backward()
    assert (inputs['boxes'].grad == 0).all()


def test_normaliser_is_shared_between_ranks(monkeypatch):
    alone = LocalizationAwareLoss()(**case())
    # Another rank with 6 positives: (2 + 6) / 2.
    monkeypatch.setattr(auxiliary_loss, 'reduce_mean', lambda count: (count + 6) / 2)
    shared = LocalizationAwareLoss()(**case())
    for key in alone:
        assert shared[key].item() == pytest.approx(alone[key].item() * 2 / 4)


def test_half_precision_does_not_overflow():
    inputs = case()
    inputs['boxes'] = torch.tensor([[0, 0, 600, 600]] * 4, dtype=torch.float16)
    inputs['gt_boxes'] = torch.tensor([[0.0, 0, 600, 300]] * 4)
    inputs['cls_scores'] = inputs['cls_scores'].half()
    losses = LocalizationAwareLoss()(**inputs)
    assert losses['loss_aux_box'].item() == pytest.approx(25.0)
    assert losses['loss_aux_cls'].dtype == torch.float32


def test_is_registered_and_checks_its_weights():
    assert MODELS.build(dict(type='mmdet_lcp.LocalizationAwareLoss')).box_weight == 50.0
    with pytest.raises(CompressionError, match='box_weight'):
        LocalizationAwareLoss(box_weight=-1)
    with pytest.raises(CompressionError, match='cls_weight'):
        LocalizationAwareLoss(cls_weight=float('inf'))
    with pytest.raises(CompressionError, match='both 0'):
        LocalizationAwareLoss(0, 0)
