import mmdet.models  # noqa: F401
import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmdet_lcp.attachments import DefaultBoxSampler
from mmdet_lcp.errors import CompressionError


@pytest.fixture
def scores(ssd, batch):
    torch.manual_seed(3)
    with torch.no_grad():
        maps, deltas = ssd.eval()(batch[0], mode='tensor')
    # Scores of an untrained head are all but equal; spread them so that hardness has an order.
    return [level + torch.randn_like(level) for level in maps], deltas


def seen_by_ssd(head, maps, deltas, instances, metas, monkeypatch):
    """Per image the positives, labels and hard negatives of SSDHead's own loss.

    The indices come from watching its `topk`, so nothing of its rule is written down here.
    """
    seen = []
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

    monkeypatch.setattr(head, 'loss_by_feat_single', spy)
    losses = head.loss_by_feat(maps, deltas, instances, metas)
    return seen, losses


def as_set(boxes):
    return sorted(tuple(row) for row in boxes.tolist())


def test_chooses_what_ssd_head_chooses(ssd, batch, scores, monkeypatch):
    _, instances, metas = batch
    head = ssd.bbox_head
    samples = DefaultBoxSampler(head, max_positives=None).sample(scores[0], instances, metas)
    seen, losses = seen_by_ssd(head, *scores, instances, metas, monkeypatch)
    assert sum(len(positives) for positives, _, _ in seen) > 4
    for index, (positives, labels, negatives) in enumerate(seen):
        own = samples.rois[:, 0] == index
        assert torch.equal(samples.rois[own & samples.positive, 1:], positives)
        assert torch.equal(samples.labels[own & samples.positive], labels)
        if len(positives):
            assert as_set(samples.rois[own & ~samples.positive, 1:]) == as_set(negatives)

    # The cross-entropy over the chosen boxes is SSD's own classification loss.
    flat = torch.cat([m.permute(0, 2, 3, 1).reshape(3, -1, 4) for m in scores[0]], dim=1)
    anchors = torch.cat(head.prior_generator.grid_priors([(4, 4), (2, 2), (1, 1)], device='cpu'))
    total = 0
    for roi, label in zip(samples.rois, samples.labels, strict=True):
        if roi[0] == 2:  # the image without objects, from which SSD takes nothing
            continue
        place = (anchors == roi[1:]).all(dim=1).nonzero()[0, 0]
        total += F.cross_entropy(flat[int(roi[0]), place], label)
    # avg_factor counts at least one positive an image.
    count = sum(max(len(positives), 1) for positives, _, _ in seen)
    assert total.item() / count == pytest.approx(sum(losses['loss_cls']).item(), rel=1e-5)


def test_ground_truth_and_labels_of_positives(ssd, batch, scores):
    _, instances, metas = batch
    samples = DefaultBoxSampler(ssd.bbox_head).sample(scores[0], instances, metas)
    assert samples.img_shape == (64, 64)
    for roi, gt, label in zip(
        samples.rois[samples.positive],
        samples.gt_boxes[samples.positive],
        samples.labels[samples.positive],
        strict=True,
    ):
        image = instances[int(roi[0])]
        match = (image.bboxes == gt).all(dim=1).nonzero().item()
        assert image.labels[match] == label
    assert (samples.labels[~samples.positive] == 3).all()
    assert (samples.gt_boxes[~samples.positive] == 0).all()


def test_image_without_objects_gives_its_hardest_background(ssd, batch, scores):
    _, instances, metas = batch
    samples = DefaultBoxSampler(ssd.bbox_head).sample(scores[0], instances, metas)
    own = samples.rois[:, 0] == 2
    assert own.sum() == 3
    assert not samples.positive[own].any()


@pytest.mark.parametrize('limit', [1, 2])
def test_limit_on_positives(ssd, batch, scores, limit):
    _, instances, metas = batch
    samples = DefaultBoxSampler(ssd.bbox_head, max_positives=limit).sample(
        scores[0], instances, metas
    )
    everything = DefaultBoxSampler(ssd.bbox_head, max_positives=None).sample(
        scores[0], instances, metas
    )
    for index in (0, 1):
        own = samples.rois[:, 0] == index
        assert ((everything.rois[:, 0] == index) & everything.positive).sum() > limit
        assert (own & samples.positive).sum() == limit
        assert (own & ~samples.positive).sum() == 3 * limit


def test_same_choice_whatever_the_global_random_state(ssd, batch, scores):
    _, instances, metas = batch
    sampler = DefaultBoxSampler(ssd.bbox_head, max_positives=2)
    chosen = {'none': [], 'generator': []}
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        chosen['none'].append(sampler.sample(scores[0], instances, metas).rois)
        generator = torch.Generator().manual_seed(7)
        chosen['generator'].append(
            sampler.sample(scores[0], instances, metas, generator=generator).rois
        )
        assert torch.equal(before, torch.random.get_rng_state())
    for first, second in chosen.values():
        assert torch.equal(first, second)


def test_even_shares():
    sampler = DefaultBoxSampler.__new__(DefaultBoxSampler)
    sampler.max_positives = 4
    assert sampler._limit(16, None).tolist() == [2, 6, 10, 14]
    assert sampler._limit(5, None).unique().numel() == 4
    assert sampler._limit(3, None).tolist() == [0, 1, 2]


def head_config(**keys):
    return ConfigDict(
        num_classes=2,
        in_channels=8,
        feat_channels=32,
        stacked_convs=1,
        train_cfg=dict(
            assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
            allowed_border=-1,
            pos_weight=-1,
        ),
        **keys,
    )


ANCHORS = dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=2, ratios=[1.0])


@pytest.mark.parametrize('kind', ['RetinaHead', 'ATSSHead'])
def test_sigmoid_heads(kind):
    config = head_config(type=kind, anchor_generator=dict(ANCHORS, strides=[8, 16]))
    if kind == 'ATSSHead':
        config.anchor_generator.scales_per_octave = 1
        config.train_cfg.assigner = dict(type='ATSSAssigner', topk=3)
        config.loss_centerness = dict(type='CrossEntropyLoss', use_sigmoid=True)
    kind_of_assignment = config.train_cfg.assigner.type
    head = MODELS.build(config)
    maps = head.forward([torch.randn(1, 8, 8, 8), torch.randn(1, 8, 4, 4)])[0]
    instances = [InstanceData(bboxes=torch.tensor([[8.0, 8, 44, 40]]), labels=torch.tensor([1]))]
    meta = dict(img_shape=(64, 64), pad_shape=(64, 64))
    samples = DefaultBoxSampler(head).sample(maps, instances, [meta])
    assert samples.positive.sum() > 0
    assert (~samples.positive).sum() == 3 * samples.positive.sum()
    assert (samples.labels[samples.positive] == 1).all()
    # The negatives are the hardest: summed BCE against all-zero targets.
    loss = torch.cat(
        [
            F.binary_cross_entropy_with_logits(level, torch.zeros_like(level), reduction='none')
            .permute(0, 2, 3, 1)
            .reshape(-1, 2)
            .sum(dim=1)
            for level in maps
        ]
    )
    anchors = torch.cat(head.prior_generator.grid_priors([(8, 8), (4, 4)], device='cpu'))
    places = [int((anchors == roi[1:]).all(dim=1).nonzero()[0, 0]) for roi in samples.rois]
    chosen = [place for place, kind in zip(places, samples.positive, strict=True) if not kind]
    positives = [place for place, kind in zip(places, samples.positive, strict=True) if kind]
    negative = torch.ones(len(anchors), dtype=torch.bool)
    negative[positives] = False
    if kind_of_assignment == 'MaxIoUAssigner':  # between its two thresholds nothing is trained
        negative &= bbox_overlaps(anchors, instances[0].bboxes)[:, 0] < 0.4
    expected = negative.nonzero().flatten()[loss[negative].topk(len(chosen)).indices]
    assert sorted(chosen) == sorted(expected.tolist())


def test_refuses_heads_it_cannot_serve(ssd):
    fcos = MODELS.build(dict(type='FCOSHead', num_classes=2, in_channels=8, feat_channels=32))
    with pytest.raises(CompressionError, match=r'anchor-based one-stage head.*FCOSHead'):
        DefaultBoxSampler(fcos)
    untrained = MODELS.build(
        dict(type='RetinaHead', num_classes=2, in_channels=8, stacked_convs=1)
    )
    with pytest.raises(CompressionError, match='train_cfg'):
        DefaultBoxSampler(untrained)
    with pytest.raises(CompressionError, match='max_positives'):
        DefaultBoxSampler(ssd.bbox_head, max_positives=0)
    with pytest.raises(CompressionError, match='neg_pos_ratio'):
        DefaultBoxSampler(ssd.bbox_head, neg_pos_ratio=-1)


def test_refuses_assigners_that_need_predictions():
    config = head_config(type='RetinaHead', anchor_generator=dict(ANCHORS, strides=[8]))
    config.train_cfg.assigner = dict(type='TaskAlignedAssigner', topk=3)
    head = MODELS.build(config)
    maps = head.forward([torch.randn(1, 8, 4, 4)])[0]
    instances = [InstanceData(bboxes=torch.tensor([[8.0, 8, 24, 20]]), labels=torch.tensor([1]))]
    meta = dict(img_shape=(32, 32), pad_shape=(32, 32))
    with pytest.raises(CompressionError, match='TaskAlignedAssigner'):
        DefaultBoxSampler(head).sample(maps, instances, [meta])
