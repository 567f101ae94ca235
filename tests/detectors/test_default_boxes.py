"""What is common to all kinds of default boxes: limits, hard negatives, whose images."""

import pytest
import torch
import torch.nn.functional as F
from made_detectors import packed

from mmdet_lcp.detectors.default_boxes import _even_shares
from mmdet_lcp.detectors.prior_boxes import PriorBoxSampler
from mmdet_lcp.detectors.taps import Taps
from mmdet_lcp.errors import CompressionError


@pytest.fixture
def images(batch):
    return packed(batch)


@pytest.fixture
def spread(ssd):
    """An SSD whose scores differ, so that hardness has an order."""
    torch.manual_seed(3)
    for module in ssd.bbox_head.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=0.2)
    return ssd.eval()


def seen_by_ssd(detector, images, samples, monkeypatch):
    """Per image the positives, labels and hard negatives of SSDHead's own loss.

    The indices come from watching its `topk`, so nothing of its rule is written down here.
    """
    seen = []
    head = detector.bbox_head
    original = head.loss_by_feat_single
    real_topk = torch.Tensor.topk

    def spy(cls_score, bbox_pred, anchor, labels, *args, **kwargs):
        negatives = (labels == head.num_classes).nonzero().view(-1)
        watched = []

        def topk(tensor, k, *a, **kw):
            result = real_topk(tensor, k, *a, **kw)
            watched.append(result.indices)
            return result

        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, 'topk', topk)
            result = original(cls_score, bbox_pred, anchor, labels, *args, **kwargs)
        positives = (labels < head.num_classes).nonzero().view(-1)
        hard = negatives[watched[0]]
        seen.append((anchor[positives], labels[positives], anchor[hard]))
        return result

    with monkeypatch.context() as patch:
        patch.setattr(head, 'loss_by_feat_single', spy)
        losses = detector(images, samples, mode='loss')
    return seen, losses


def sampler_of(detector, **limits) -> PriorBoxSampler:
    return PriorBoxSampler(detector.bbox_head, 'bbox_head', 3, **limits)


def as_set(boxes):
    return sorted(tuple(row) for row in boxes.tolist())


def test_chooses_what_ssd_head_chooses(spread, images, monkeypatch):
    samples = sampler_of(spread, max_positives=None).sample_images(spread, *images)
    seen, losses = seen_by_ssd(spread, *images, monkeypatch)
    assert sum(len(positives) for positives, _, _ in seen) > 4
    for index, (positives, labels, negatives) in enumerate(seen):
        own = samples.rois[:, 0] == index
        assert torch.equal(samples.rois[own & samples.positive, 1:], positives)
        assert torch.equal(samples.labels[own & samples.positive], labels)
        if len(positives):
            assert as_set(samples.rois[own & ~samples.positive, 1:]) == as_set(negatives)

    # The cross-entropy over the chosen boxes is SSD's own classification loss.
    with torch.no_grad():
        maps = spread(images[0], mode='tensor')[0]
    flat = torch.cat([m.permute(0, 2, 3, 1).reshape(3, -1, 4) for m in maps], dim=1)
    generator = spread.bbox_head.prior_generator
    anchors = torch.cat(generator.grid_priors([(4, 4), (2, 2), (1, 1)], device='cpu'))
    total = 0
    for roi, label in zip(samples.rois, samples.labels, strict=True):
        if roi[0] == 2:  # the image without objects, from which SSD takes nothing
            continue
        place = (anchors == roi[1:]).all(dim=1).nonzero()[0, 0]
        total += F.cross_entropy(flat[int(roi[0]), place], label)
    # avg_factor counts at least one positive an image.
    count = sum(max(len(positives), 1) for positives, _, _ in seen)
    assert total.item() / count == pytest.approx(sum(losses['loss_cls']).item(), rel=1e-5)


def test_watching_and_letting_run_give_the_same(spread, images):
    sampler = sampler_of(spread)
    with Taps(spread, sampler.paths) as taps, sampler.watch():
        spread(*images, mode='loss')
    watched = sampler.sample(taps, images[1])
    alone = sampler_of(spread).sample_images(spread, *images)
    for key in ('rois', 'gt_boxes', 'labels', 'positive'):
        assert torch.equal(getattr(watched, key), getattr(alone, key))
    assert not watched.rois.requires_grad


def test_one_watch_serves_one_batch(spread, images):
    sampler = sampler_of(spread)
    with Taps(spread, sampler.paths) as taps, sampler.watch():
        spread(*images, mode='loss')
    sampler.sample(taps, images[1])
    with pytest.raises(CompressionError, match='0 times for 3 images'):
        sampler.sample(taps, images[1])


def test_the_samples_given_are_left_as_they_are(spread, images):
    before = [sample.gt_instances.bboxes.clone() for sample in images[1]]
    keys = [set(sample.keys()) for sample in images[1]]
    sampler_of(spread).sample_images(spread, *images)
    assert [set(sample.keys()) for sample in images[1]] == keys
    for sample, boxes in zip(images[1], before, strict=True):
        assert torch.equal(sample.gt_instances.bboxes, boxes)


def test_ground_truth_and_labels_of_positives(spread, images):
    samples = sampler_of(spread).sample_images(spread, *images)
    assert samples.img_shape == (64, 64)
    for roi, gt, label in zip(
        samples.rois[samples.positive],
        samples.gt_boxes[samples.positive],
        samples.labels[samples.positive],
        strict=True,
    ):
        objects = images[1][int(roi[0])].gt_instances
        match = (objects.bboxes == gt).all(dim=1).nonzero().item()
        assert objects.labels[match] == label
    assert (samples.labels[~samples.positive] == 3).all()
    assert (samples.gt_boxes[~samples.positive] == 0).all()


@pytest.mark.parametrize(('ratio', 'count'), [(None, 3), (5, 5), (0, 0)])
def test_image_without_objects_gives_its_hardest_background(spread, images, ratio, count):
    samples = sampler_of(spread, neg_pos_ratio=ratio).sample_images(spread, *images)
    own = samples.rois[:, 0] == 2
    assert own.sum() == count
    assert not samples.positive[own].any()


@pytest.mark.parametrize('limit', [1, 2])
def test_limit_on_positives(spread, images, limit):
    samples = sampler_of(spread, max_positives=limit).sample_images(spread, *images)
    everything = sampler_of(spread, max_positives=None).sample_images(spread, *images)
    for index in (0, 1):
        own = samples.rois[:, 0] == index
        assert ((everything.rois[:, 0] == index) & everything.positive).sum() > limit
        assert (own & samples.positive).sum() == limit
        assert (own & ~samples.positive).sum() == 3 * limit


def test_all_negatives(spread, images):
    samples = sampler_of(spread, neg_pos_ratio=float('inf')).sample_images(spread, *images)
    boxes = 16 * 4 + 4 * 6 + 1 * 4  # SSD's; each is positive or negative
    counts = torch.bincount(samples.rois[:, 0].long())
    assert counts.tolist() == [boxes] * 3


def test_no_chance_where_the_detector_has_none(spread, images):
    sampler = sampler_of(spread, max_positives=2)
    chosen = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        chosen.append(sampler.sample_images(spread, *images).rois)
        assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(*chosen)


def test_even_shares():
    assert _even_shares(16, 4).tolist() == [2, 6, 10, 14]
    assert _even_shares(5, 4).unique().numel() == 4
    assert _even_shares(3, 4).tolist() == [0, 1, 2]
    assert _even_shares(3, None).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('max_positives', 0),
        ('max_positives', 1.5),
        ('max_positives', True),
        ('neg_pos_ratio', -1),
        ('neg_pos_ratio', float('nan')),
        ('neg_pos_ratio', '3'),
    ],
)
def test_wrong_limits_name_their_key(ssd, key, value):
    with pytest.raises(CompressionError, match=key):
        sampler_of(ssd, **{key: value})
