"""Against what mmdet's own target functions say, head by head."""

import copy

import pytest
import torch
from made_detectors import HEADS, build, packed, two_stage_config
from mmdet.models.dense_heads import YOLOXHead
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData

from mmdet_lcp.detectors.background_loss import background_loss
from mmdet_lcp.detectors.prior_boxes import PriorBoxSampler, point_boxes
from mmdet_lcp.errors import CompressionError

SIZES = [(8, 8), (4, 4), (2, 2)]
ALL = dict(max_positives=None, neg_pos_ratio=float('inf'))


def outputs_of(detector, batch):
    with torch.no_grad():
        return detector.bbox_head(detector.extract_feat(batch[0]))


def of_image(samples, index):
    """Positive boxes, their ground truth and labels, and negative boxes of one image."""
    own = samples.rois[:, 0] == index
    positive = own & samples.positive
    return (
        samples.rois[positive, 1:],
        samples.gt_boxes[positive],
        samples.labels[positive],
        samples.rois[own & ~samples.positive, 1:],
    )


def test_anchors_of_an_rpn_are_those_it_trains_on(faster_rcnn, batch):
    """`get_targets` draws at random: the same seed must give the same anchors."""
    _, instances, metas = batch
    head = faster_rcnn.rpn_head
    # The loss draws for the RPN first, with nothing drawn before it.
    torch.manual_seed(5)
    samples = PriorBoxSampler(head, 'rpn_head', 3, **ALL).sample_images(
        faster_rcnn, *packed(batch)
    )

    anchors, valid = head.get_anchors(SIZES, metas, device='cpu')
    flat = torch.cat(anchors[0])
    things = [InstanceData(bboxes=i.bboxes, labels=torch.zeros_like(i.labels)) for i in instances]
    torch.manual_seed(5)
    labels, weights, targets, _, _ = head.get_targets(anchors, valid, things, metas)
    labels, weights, targets = (torch.cat(part, dim=1) for part in (labels, weights, targets))
    for index in range(3):
        boxes, matched, kinds, negatives = of_image(samples, index)
        positive = labels[index] == 0
        assert torch.equal(boxes, flat[positive])
        assert torch.equal(negatives, flat[(labels[index] == 1) & (weights[index] > 0)])
        # The box targets decode to the matched objects, the labels are those objects' classes.
        expected = head.bbox_coder.decode(flat[positive], targets[index][positive])
        torch.testing.assert_close(matched, expected, atol=1e-3, rtol=0)
        for box, kind in zip(matched, kinds, strict=True):
            place = (instances[index].bboxes == box).all(dim=1).nonzero().item()
            assert instances[index].labels[place] == kind
        assert len(boxes) + len(negatives) == 32 or index == 2
    assert samples.positive.sum() > 4
    assert set(samples.labels[samples.positive].tolist()) == {0, 1, 2}
    assert (samples.labels[~samples.positive] == 3).all()


def test_hard_negatives_of_an_rpn_are_among_those_it_draws(faster_rcnn, batch):
    """And are those with the highest scores; anchors that leave the image are left out."""
    head = faster_rcnn.rpn_head
    data = packed(batch)
    results = []
    for limits in (ALL, {}):
        torch.manual_seed(5)
        sampler = PriorBoxSampler(head, 'rpn_head', 3, **limits)
        results.append(sampler.sample_images(faster_rcnn, *data))
    with torch.no_grad():
        scores = head(faster_rcnn.extract_feat(data[0]))[0]
    scores = torch.cat([level.permute(0, 2, 3, 1).reshape(3, -1) for level in scores], dim=1)
    flat = torch.cat(head.prior_generator.grid_priors(SIZES, device='cpu'))
    for index in range(3):
        everything, hard = (of_image(samples, index) for samples in results)
        drawn, chosen = everything[3], hard[3]
        assert (drawn >= 0).all() and (drawn <= 64).all()
        score = [float(scores[index][(flat == box).all(dim=1).nonzero()[0, 0]]) for box in drawn]
        count = 3 * max(len(hard[0]), 1)
        best = sorted(range(len(drawn)), key=lambda place: -score[place])[:count]
        found = sorted(map(tuple, chosen.tolist()))
        assert found == sorted(tuple(drawn[place].tolist()) for place in best)


@pytest.mark.parametrize('name', ['RetinaNet', 'ATSS', 'GFL', 'TOOD'])
def test_anchor_heads(name, batch):
    """Positives by brute force: the assigner alone, on all anchors."""
    detector = build(HEADS[name])
    head = detector.bbox_head
    seen = []
    assign = head.assigner.assign
    if name == 'TOOD':  # in the first epochs; mmengine's runner says which one it is
        assign = head.initial_assigner.assign
        MessageHub.get_current_instance().update_info('epoch', 0)
    samples = PriorBoxSampler(head, 'bbox_head', 3, **ALL).sample_images(detector, *packed(batch))
    flat = torch.cat(head.prior_generator.grid_priors(SIZES, device='cpu'))
    for index, objects in enumerate(batch[1]):
        extra = {} if name == 'RetinaNet' else {'num_level_priors': [64, 16, 4]}
        if name == 'RetinaNet':
            assigned = assign(InstanceData(priors=flat), objects)
        else:
            assigned = assign(InstanceData(priors=flat), gt_instances=objects, **extra)
        positive = assigned.gt_inds > 0
        boxes, matched, kinds, negatives = of_image(samples, index)
        assert torch.equal(boxes, flat[positive])
        assert torch.equal(negatives, flat[assigned.gt_inds == 0])
        at = assigned.gt_inds[positive] - 1
        assert torch.equal(matched, objects.bboxes[at])
        assert torch.equal(kinds, objects.labels[at])
        seen.append(int(positive.sum()))
    assert seen[0] > 2 and seen[2] == 0


def test_retina_leaves_out_what_it_does_not_train_on(batch):
    """Anchors between the two thresholds are neither positive nor negative."""
    detector = build(HEADS['RetinaNet'])
    samples = PriorBoxSampler(detector.bbox_head, 'bbox_head', 3, **ALL).sample_images(
        detector, *packed(batch)
    )
    _, _, _, negatives = of_image(samples, 0)
    assert bbox_overlaps(negatives, batch[1][0].bboxes).max() < 0.4
    assert len(negatives) < 84 * 2 - (samples.rois[samples.positive, 0] == 0).sum()


def test_points_of_yolox(batch):
    """SimOTA by mmdet's own function, on predictions that we decode by hand."""
    detector = build(HEADS['YOLOX'])
    head = detector.bbox_head
    samples = PriorBoxSampler(head, 'bbox_head', 3, **ALL).sample_images(detector, *packed(batch))
    classes, deltas, objectness = (
        torch.cat([level.permute(0, 2, 3, 1).flatten(1, 2) for level in part], dim=1)
        for part in outputs_of(detector, batch)
    )
    places = [
        (x * stride, y * stride, stride)
        for stride, (height, width) in zip([8, 16, 32], SIZES, strict=True)
        for y in range(height)
        for x in range(width)
    ]
    priors = torch.tensor([(x, y, s, s) for x, y, s in places], dtype=torch.float32)
    for index, objects in enumerate(batch[1][:2]):
        centre = deltas[index][:, :2] * priors[:, 2:] + priors[:, :2]
        size = deltas[index][:, 2:].exp() * priors[:, 2:]
        decoded = torch.cat([centre - size / 2, centre + size / 2], dim=1)
        mask, _, _, target, _, _ = head._get_targets_single(
            priors, classes[index], decoded, objectness[index][:, 0], objects, {}
        )
        boxes, matched, _, negatives = of_image(samples, index)
        # A square of 8 strides around the middle of each cell.
        around = torch.tensor(
            [(x + s / 2 - 4 * s, y + s / 2 - 4 * s, x + s / 2 + 4 * s, y + s / 2 + 4 * s)
             for x, y, s in places]
        )  # fmt: skip
        assert torch.equal(boxes, around[mask]) and mask.sum() > 0
        assert torch.equal(negatives, around[~mask])
        assert torch.equal(matched, target)
    assert not (samples.rois[:, 0] == 2).any()  # YOLOX skips images without objects


def test_points_of_rtmdet(batch):
    detector = build(HEADS['RTMDet'])
    head = detector.bbox_head
    samples = PriorBoxSampler(head, 'bbox_head', 3, **ALL).sample_images(detector, *packed(batch))
    scores, distances = (
        torch.cat([level.permute(0, 2, 3, 1).flatten(1, 2) for level in part], dim=1)
        for part in outputs_of(detector, batch)
    )
    anchors, valid = head.get_anchors(SIZES, batch[2], device='cpu')
    points = torch.cat(anchors[0])
    decoded = torch.cat(
        [points[:, :2] - distances[..., :2], points[:, :2] + distances[..., 2:]], dim=-1
    )
    targets = head.get_targets(scores, decoded, anchors, valid, batch[1], batch[2])
    labels, matched = torch.cat(targets[1], dim=1), torch.cat(targets[3], dim=1)
    for index in range(3):
        positive = labels[index] < 3
        boxes, gts, kinds, negatives = of_image(samples, index)
        middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        assert torch.equal(middle, points[positive, :2])
        assert torch.equal(side, 8 * points[positive, 2:])
        assert torch.equal(gts, matched[index][positive])
        assert torch.equal(kinds, labels[index][positive])
        assert len(negatives) == (~positive).sum()
    assert samples.positive.sum() > 2


def test_cells_of_yolov3(batch):
    detector = build(HEADS['YOLOv3'])
    head = detector.bbox_head
    samples = PriorBoxSampler(head, 'bbox_head', 3, **ALL).sample_images(detector, *packed(batch))
    levels = head.prior_generator.grid_priors(SIZES, device='cpu')
    flat = torch.cat(levels)
    flags = [head.responsible_flags(SIZES, objects.bboxes, 'cpu') for objects in batch[1]]
    maps, background = head.get_targets([levels] * 3, flags, batch[1])
    maps, background = torch.cat(maps, dim=1), torch.cat(background, dim=1)
    for index in range(3):
        boxes, _, kinds, negatives = of_image(samples, index)
        positive = maps[index][:, 4] == 1
        assert torch.equal(boxes, flat[positive])
        assert torch.equal(kinds, maps[index][positive, 5:].argmax(dim=1))
        assert torch.equal(negatives, flat[background[index] > 0])
    assert samples.positive.sum() >= 4


@pytest.mark.parametrize('name', ['YOLOX', 'RTMDet', 'YOLOv3', 'ATSS'])
def test_hardest_negatives(name, batch):
    detector = build(HEADS[name])
    head = detector.bbox_head
    limited, everything = (
        PriorBoxSampler(head, 'bbox_head', 3, **limits).sample_images(detector, *packed(batch))
        for limits in (dict(max_positives=1), dict(ALL, max_positives=1))
    )
    hardness = background_loss(head, outputs_of(detector, batch))
    for index in (0, 1):
        chosen, all_negatives = (of_image(s, index)[3] for s in (limited, everything))
        assert len(chosen) == 3 < len(all_negatives)
        flat = torch.cat(boxes_of(head))
        values = {tuple(b): float(h) for b, h in zip(flat.tolist(), hardness[index], strict=True)}
        picked = {tuple(box) for box in chosen.tolist()}
        others = {tuple(box) for box in all_negatives.tolist()} - picked
        # No box that was not chosen is harder than the easiest chosen one.
        assert min(map(values.get, picked)) >= max(map(values.get, others))


def boxes_of(head):
    """Every box of every level; points by hand."""
    if isinstance(head.prior_generator, AnchorGenerator):
        return head.prior_generator.grid_priors(SIZES, device='cpu')
    levels = head.prior_generator.grid_priors(SIZES, device='cpu', with_stride=True)
    # YOLOX's assigner sees the middle of each cell, RTMDet's its corner.
    low, high = (-3.5, 4.5) if isinstance(head, YOLOXHead) else (-4, 4)
    return [
        torch.tensor(
            [
                (x + low * s, y + low * s, x + high * s, y + high * s)
                for x, y, s, _ in level.tolist()
            ]
        )
        for level in levels
    ]


def test_refuses_heads_it_cannot_serve(ssd):
    untrained = copy.deepcopy(HEADS['RetinaNet'].bbox_head)
    with pytest.raises(CompressionError, match='train_cfg'):
        PriorBoxSampler(MODELS.build(untrained), 'bbox_head', 3)
    corners = MODELS.build(
        dict(type='CornerHead', num_classes=2, in_channels=8, train_cfg=dict(), test_cfg=dict())
    )
    with pytest.raises(CompressionError, match=r'CornerHead does not match anchors or points'):
        PriorBoxSampler(corners, 'bbox_head', 2)
    with pytest.raises(CompressionError, match=r"CornerHead.*boxes='proposals'"):
        PriorBoxSampler(corners, 'rpn_head', 2)


def test_heads_that_do_not_ask_their_assigner_are_refused(batch):
    """FreeAnchor learns the matching: the assigner that it inherits is never called."""
    config = copy.deepcopy(HEADS['RetinaNet'])
    config.bbox_head.type = 'FreeAnchorRetinaHead'
    config.bbox_head.loss_bbox = dict(type='SmoothL1Loss')
    detector = build(config)
    sampler = PriorBoxSampler(detector.bbox_head, 'bbox_head', 3)
    with pytest.raises(CompressionError, match=r'FreeAnchorRetinaHead .* 0 times'):
        sampler.sample_images(detector, *packed(batch))


def test_an_rpns_classes_are_the_detectors():
    detector = build(two_stage_config())
    assert detector.rpn_head.num_classes == 1
    assert PriorBoxSampler(detector.rpn_head, 'rpn_head', 3).num_classes == 3


def test_point_boxes_by_hand():
    points = torch.tensor([[10.0, 20.0, 8.0, 4.0]])
    assert point_boxes(points).tolist() == [[10 - 32, 20 - 16, 10 + 32, 20 + 16]]
