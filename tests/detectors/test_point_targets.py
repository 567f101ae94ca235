"""FCOS: against `FCOSHead.get_targets`."""

import copy

import pytest
import torch
from made_detectors import HEADS, STRIDES, build, packed

from mmdet_lcp.detectors.background_loss import background_loss
from mmdet_lcp.detectors.point_targets import PointTargetSampler
from mmdet_lcp.errors import CompressionError

SIZES = [(8, 8), (4, 4), (2, 2)]


def fcos(**head):
    config = copy.deepcopy(HEADS['FCOS'])
    config.bbox_head.update(head)
    return build(config)


@pytest.mark.parametrize('head', [{}, dict(norm_on_bbox=True), dict(center_sampling=True)])
@pytest.mark.parametrize('training', [True, False])
def test_positives_are_those_of_get_targets(head, training, batch):
    detector = fcos(**head).train(training)
    own = detector.bbox_head
    samples = PointTargetSampler(
        own, 'bbox_head', 3, neg_pos_ratio=float('inf'), max_positives=None
    ).sample_images(detector, *packed(batch))
    points = own.prior_generator.grid_priors(SIZES, device='cpu')
    labels, targets = own.get_targets(points, batch[1])
    # By level, then image, then place; divided by the stride where the head does so.
    total = 0
    rows = {0: [], 1: [], 2: []}
    for stride, place, label, target in zip(STRIDES, points, labels, targets, strict=True):
        scale = stride if own.norm_on_bbox else 1
        for index in range(3):
            part = slice(index * len(place), (index + 1) * len(place))
            for (x, y), kind, (left, up, right, down) in zip(
                place.tolist(), label[part].tolist(), (target[part] * scale).tolist(), strict=True
            ):
                if kind < 3:
                    half = 4 * stride
                    square = [x - half, y - half, x + half, y + half]
                    rows[index].append((square, [x - left, y - up, x + right, y + down], kind))
                total += 1
    assert total == len(samples.rois) == 3 * (64 + 16 + 4)
    assert len(rows[0]) > 3 and len(rows[1]) > 3 and not rows[2]
    for index, expected in rows.items():
        mine = (samples.rois[:, 0] == index) & samples.positive
        squares, boxes, kinds = zip(*expected, strict=True) if expected else ([], [], [])
        assert samples.rois[mine, 1:].tolist() == list(squares)
        torch.testing.assert_close(
            samples.gt_boxes[mine], torch.tensor(boxes).view(-1, 4), atol=1e-4, rtol=0
        )
        assert samples.labels[mine].tolist() == list(kinds)


def test_ground_truth_is_exact(batch):
    """What the head keeps as distances comes back as the very boxes of the image."""
    detector = fcos()
    samples = PointTargetSampler(detector.bbox_head, 'bbox_head', 3).sample_images(
        detector, *packed(batch)
    )
    for roi, box, label in zip(
        samples.rois[samples.positive],
        samples.gt_boxes[samples.positive],
        samples.labels[samples.positive],
        strict=True,
    ):
        objects = batch[1][int(roi[0])]
        place = (objects.bboxes == box).all(dim=1).nonzero().item()
        assert objects.labels[place] == label


def test_hardest_negatives(batch):
    detector = fcos()
    samples = PointTargetSampler(
        detector.bbox_head, 'bbox_head', 3, max_positives=2
    ).sample_images(detector, *packed(batch))
    with torch.no_grad():
        outputs = detector.bbox_head(detector.extract_feat(batch[0]))
    hardness = background_loss(detector.bbox_head, outputs)
    labels, _ = detector.bbox_head.get_targets(
        detector.bbox_head.prior_generator.grid_priors(SIZES, device='cpu'), batch[1]
    )
    for index in (0, 1, 2):
        flat = torch.cat([level.view(3, -1)[index] for level in labels])
        count = 6 if index < 2 else 3
        best = hardness[index].masked_fill(flat < 3, -1).topk(count).indices
        points = torch.cat(
            detector.bbox_head.prior_generator.grid_priors(SIZES, device='cpu', with_stride=True)
        )[best]
        mine = (samples.rois[:, 0] == index) & ~samples.positive
        middle = (samples.rois[mine, 1:3] + samples.rois[mine, 3:]) / 2
        assert sorted(map(tuple, middle.tolist())) == sorted(map(tuple, points[:, :2].tolist()))


def test_heads_with_other_targets_are_refused(batch):
    """AutoAssign weighs every point for every object."""
    config = copy.deepcopy(HEADS['FCOS'])
    config.bbox_head.update(type='AutoAssignHead', norm_on_bbox=True)
    config.type = 'AutoAssign'
    detector = build(config)
    sampler = PointTargetSampler(detector.bbox_head, 'bbox_head', 3)
    with pytest.raises(CompressionError, match='AutoAssignHead does not give each point one'):
        sampler.sample_images(detector, *packed(batch))
