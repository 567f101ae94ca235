"""Against the RoI head's own sampler, on proposals of the RPN's present weights."""

import copy

import pytest
import torch
from made_detectors import build, packed, two_stage_config
from mmengine.structures import InstanceData

from mmdet_lcp.detectors.proposal_boxes import ProposalSampler

ALL = dict(max_positives=None, neg_pos_ratio=float('inf'))


def own_samples(detector, data, seed):
    """What the RoI head takes, step by step as its loss does it; and the proposals."""
    head = detector.roi_head
    cascade = isinstance(head.bbox_sampler, list)
    assigner, sampler = (
        part[0] if cascade else part for part in (head.bbox_assigner, head.bbox_sampler)
    )
    images, samples = data
    torch.manual_seed(seed)
    with torch.no_grad():
        features = detector.extract_feat(images)
        alike = copy.deepcopy(samples)
        for sample in alike:
            sample.gt_instances.labels.zero_()
        # the RPN's own draw comes first
        _, proposals = detector.rpn_head.loss_and_predict(
            features, alike, proposal_cfg=detector.train_cfg.rpn_proposal
        )
    found = []
    for proposed, sample in zip(proposals, samples, strict=True):
        proposed.priors = proposed.pop('bboxes')
        assigned = assigner.assign(proposed, sample.gt_instances, None)
        found.append(sampler.sample(assigned, proposed, sample.gt_instances))
    return found, proposals


@pytest.mark.parametrize('kind', ['FasterRCNN', 'CascadeRCNN'])
def test_samples_are_those_of_the_bbox_sampler(kind, batch):
    detector = build(two_stage_config(kind=kind))
    data = packed(batch)
    torch.manual_seed(7)
    samples = ProposalSampler(detector.roi_head, 3, **ALL).sample_images(detector, *data)
    expected, _ = own_samples(detector, data, seed=7)
    for index, result in enumerate(expected):
        own = samples.rois[:, 0] == index
        positive, negative = own & samples.positive, own & ~samples.positive
        assert torch.equal(samples.rois[positive, 1:], result.pos_priors)
        assert torch.equal(samples.gt_boxes[positive], result.pos_gt_bboxes)
        assert torch.equal(samples.labels[positive], result.pos_gt_labels)
        assert torch.equal(samples.rois[negative, 1:], result.neg_priors)
        assert (samples.labels[negative] == 3).all()
    # The objects themselves are among the proposals, as the detector's config has it.
    assert samples.positive.sum() >= 5
    first = samples.rois[samples.positive & (samples.rois[:, 0] == 0), 1:]
    assert torch.equal(first[:3], data[1][0].gt_instances.bboxes)


def test_another_seed_draws_others(faster_rcnn, batch):
    data = packed(batch)
    drawn = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        sampler = ProposalSampler(faster_rcnn.roi_head, 3, **ALL)
        drawn.append(sampler.sample_images(faster_rcnn, *data).rois)
    assert drawn[0].shape != drawn[1].shape or not torch.equal(*drawn)


def test_hardest_negatives_are_the_rpns_best(faster_rcnn, batch):
    data = packed(batch)
    torch.manual_seed(7)
    samples = ProposalSampler(faster_rcnn.roi_head, 3, max_positives=2).sample_images(
        faster_rcnn, *data
    )
    expected, proposals = own_samples(faster_rcnn, data, seed=7)
    for index, (result, proposed) in enumerate(zip(expected, proposals, strict=True)):
        score = {
            tuple(box): float(value)
            for box, value in zip(proposed.priors.tolist(), proposed.scores, strict=True)
        }
        own = samples.rois[:, 0] == index
        chosen = samples.rois[own & ~samples.positive, 1:].tolist()
        count = min(3 * max(1, min(2, len(result.pos_inds))), len(result.neg_inds))
        best = sorted(score[tuple(box)] for box in result.neg_priors.tolist())[::-1][:count]
        assert sorted(score[tuple(box)] for box in chosen)[::-1] == best
        assert (own & samples.positive).sum() == min(2, len(result.pos_inds))


def test_given_proposals_are_left_as_they_are(batch):
    """Fast R-CNN reads proposals from the data, without scores."""
    config = two_stage_config()
    config.type = 'FastRCNN'
    config.pop('rpn_head')
    detector = build(config)
    data = packed(batch)
    boxes = torch.tensor([[3.0, 5, 29, 27], [40, 40, 60, 60], [0, 0, 9, 9]])
    for sample in data[1]:
        sample.proposals = InstanceData(bboxes=boxes.clone())
    samples = ProposalSampler(detector.roi_head, 3, **ALL).sample_images(detector, *data)
    assert all(set(sample.proposals.keys()) == {'bboxes'} for sample in data[1])
    mine = samples.rois[:, 0] == 0
    assert samples.rois[mine & samples.positive, 1:].tolist()[-1] == boxes[0].tolist()
    assert samples.labels[mine & samples.positive].tolist() == [0, 1, 2, 0]
    assert sorted(samples.rois[mine & ~samples.positive, 1:].tolist()) == sorted(
        boxes[1:].tolist()
    )
