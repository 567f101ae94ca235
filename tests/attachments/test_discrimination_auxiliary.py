"""DCP's additional losses: where they sit, what they read, and what trains on them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.optim import OptimWrapper
from torch import nn

from mmdet_lcp.attachments import (
    AttachedDetector,
    DiscriminationAuxiliary,
    LayerClassifier,
    ObjectClassifier,
)
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import ATTACHMENTS
from mmdet_lcp.structure import ChannelGroup, Member
from mmdet_lcp.structure.stage import Stage

PATHS = ['backbone.layer1.0.conv2', 'backbone.layer2.1.conv2', 'backbone.layer3.0.conv2']


def stages_before(paths):
    """Stages whose groups are read by layers of the tiny SSD."""
    readers = [Member(path, 'in_channels', (0,), (0,)) for path in paths]
    return [Stage(ChannelGroup(r.path, 1, (), (), (r,)), 1, 1) for r in readers]


def with_samples(batch):
    images, instances, metas = batch
    samples = []
    for instance, meta in zip(instances, metas, strict=True):
        sample = DetDataSample(metainfo=dict(meta, scale_factor=(1.0, 1.0), ori_shape=(64, 64)))
        sample.gt_instances = instance
        samples.append(sample)
    return images, samples


# ------------------------------------------------------------------ parts


@pytest.mark.parametrize(
    ('losses', 'groups', 'parts'),
    [
        (3, 13, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11, 12]]),
        (3, 6, [[0, 1], [2, 3], [4, 5]]),
        (3, 4, [[0], [1], [2, 3]]),
        (3, 2, [[0], [1]]),
        (1, 3, [[0, 1, 2]]),
    ],
)
def test_parts_by_hand(losses, groups, parts):
    found = DiscriminationAuxiliary(losses=losses).parts(groups)
    assert [list(part) for part in found] == parts


def test_parts_are_consecutive_and_even():
    for losses in range(1, 8):
        attachment = DiscriminationAuxiliary(losses=losses)
        for groups in range(1, 30):
            parts = attachment.parts(groups)
            assert [i for part in parts for i in part] == list(range(groups))
            sizes = [len(part) for part in parts]
            assert len(sizes) == min(losses, groups) and max(sizes) - min(sizes) <= 1
            rounds = attachment.rounds([None] * groups)
            assert sum(rounds) == groups  # as much training as layer by layer
            assert [i for i, count in enumerate(rounds) if count] == [part[0] for part in parts]


def test_a_part_is_read_at_its_end(ssd):
    attachment = DiscriminationAuxiliary(losses=2)
    stages = stages_before(PATHS)
    attached = [attachment.attach(ssd, stages, number) for number in range(3)]
    assert [a.path for a in attached] == [PATHS[0], PATHS[2], PATHS[2]]
    for one in attached:
        assert isinstance(one, LayerClassifier) and one.paths == [one.path]
        assert one.network.norm.num_features == ssd.get_submodule(one.path).out_channels
        assert one.network.head.out_features == 3
    assert not set(attached[1].parameters()) & set(attached[2].parameters())
    assert attachment.sampler(ssd) is None


def test_only_the_end_of_a_part_must_be_a_convolution(ssd):
    ssd.fc = nn.Linear(4, 4)
    attachment = DiscriminationAuxiliary(losses=2)
    attachment.check(ssd, stages_before([*PATHS[:1], 'fc', PATHS[2]]))
    with pytest.raises(CompressionError, match=r'is fc, a Linear'):
        attachment.check(ssd, stages_before([*PATHS[:2], 'fc']))


# ------------------------------------------------------------------ the classifier


def average_in_box(features, box, scale, bins, points):
    """RoIAlign of one box, all bins averaged: bilinear samples on an even grid, in NumPy."""
    channels, height, width = features.shape
    left, top, right, bottom = (v * scale - 0.5 for v in box)
    count = bins * points
    total = np.zeros(channels)
    for i in range(count):
        for j in range(count):
            y = top + (i + 0.5) * (bottom - top) / count
            x = left + (j + 0.5) * (right - left) / count
            if not (-1 <= y <= height and -1 <= x <= width):
                continue
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            wy, wx = y - y0, x - x0
            total += (
                (1 - wy) * (1 - wx) * features[:, y0, x0]
                + (1 - wy) * wx * features[:, y0, x1]
                + wy * (1 - wx) * features[:, y1, x0]
                + wy * wx * features[:, y1, x1]
            )
    return total / count**2


@pytest.fixture
def classifier():
    torch.manual_seed(3)
    network = ObjectClassifier(5, 3, output_size=4, sampling_ratio=1).double().eval()
    nn.init.normal_(network.head.weight)
    nn.init.normal_(network.norm.running_mean)
    nn.init.uniform_(network.norm.running_var, 0.5, 2)
    for parameter in (network.norm.weight, network.norm.bias, network.head.bias):
        nn.init.normal_(parameter)
    return network


def test_pooling_and_loss_against_numpy(classifier, batch):
    _, instances, _ = batch
    features = torch.randn(3, 5, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    boxes = [found.bboxes.double() for found in instances]
    labels = torch.cat([found.labels for found in instances])
    pooled = classifier.pool(features, boxes, (64, 64))

    def array(tensor):
        return tensor.detach().numpy()

    norm = classifier.norm
    mean, variance, weight, bias = (
        array(t).reshape(-1, 1, 1)
        for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    expected, entropies = [], []
    for image, found in enumerate(instances):
        x = (array(features[image]) - mean) / np.sqrt(variance + norm.eps) * weight + bias
        for box, label in zip(found.bboxes.tolist(), found.labels.tolist(), strict=True):
            crop = average_in_box(np.maximum(x, 0), box, 1 / 8, bins=4, points=1)
            logits = array(classifier.head.weight) @ crop + array(classifier.head.bias)
            expected.append(crop)
            entropies.append(np.log(np.exp(logits).sum()) - logits[label])
    np.testing.assert_allclose(array(pooled), np.stack(expected), rtol=1e-10)
    loss = classifier(features, boxes, labels, (64, 64))
    assert float(loss) == pytest.approx(np.mean(entropies), rel=1e-10)


def test_a_whole_image_is_dcps_average(classifier):
    """A box around everything, a sample in every pixel: global average pooling."""
    network = ObjectClassifier(5, 3, output_size=8, sampling_ratio=1).double().eval()
    features = torch.randn(2, 5, 8, 8).double()
    whole = [torch.tensor([[0.0, 0, 32, 32]]).double()] * 2
    pooled = network.pool(features, whole, (32, 32))
    expected = network.norm(features).relu().mean((2, 3))
    torch.testing.assert_close(pooled, expected)


def test_labels_are_the_objects_own(classifier, batch):
    _, samples = with_samples(batch)
    features = torch.randn(3, 5, 8, 8).double()
    for sample in samples:
        sample.gt_instances.bboxes = sample.gt_instances.bboxes.double()
    layer = LayerClassifier(classifier, 'some.layer')
    losses = layer.losses({'some.layer': features}, samples)
    assert list(losses) == ['loss_discrimination']
    parts = []
    for n, sample in enumerate(samples[:2]):
        for i in range(len(sample.gt_instances)):
            one = DetDataSample(metainfo=sample.metainfo)
            one.gt_instances = sample.gt_instances[i]
            alone = layer.losses({'some.layer': features[n : n + 1]}, [one])
            parts.append(float(alone['loss_discrimination'].detach()))
    assert len(parts) == 5
    assert float(losses['loss_discrimination']) == pytest.approx(np.mean(parts), rel=1e-10)
    samples[0].gt_instances.labels = (samples[0].gt_instances.labels + 1) % 3
    other = layer.losses({'some.layer': features}, samples)['loss_discrimination']
    assert abs(float(other - losses['loss_discrimination'])) > 1e-3


def test_images_without_objects(classifier):
    features = torch.randn(2, 5, 8, 8).double().requires_grad_(True)
    boxes = [torch.empty(0, 4).double()] * 2
    loss = classifier(features, boxes, torch.empty(0, dtype=torch.long), (64, 64))
    assert float(loss) == 0
    loss.backward()
    assert not features.grad.any()
    assert all(p.grad is not None and not p.grad.any() for p in classifier.head.parameters())


# ------------------------------------------------------------------ training


@pytest.fixture
def detector(ssd):
    ssd.data_preprocessor = DetDataPreprocessor(mean=[100.0] * 3, std=[50.0] * 3)
    return ssd


def attach(detector, **keys):
    attachment = DiscriminationAuxiliary(losses=1, **keys)
    attached = attachment.attach(detector, stages_before(PATHS[:2]), 0)
    return AttachedDetector(detector, {attached.name: attached}, attachment.detector_losses)


def train_step(model, batch):
    images, samples = with_samples(batch)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01, weight_decay=0.1))
    raw = dict(inputs=list((images * 20 + 100).clamp(0, 255)), data_samples=samples)
    log = model.train().train_step(raw, optimizer)
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    return set(log) - {'loss'}, changed


def test_with_the_detectors_own_losses(detector, batch):
    terms, changed = train_step(attach(detector), batch)
    assert terms == {'loss_cls', 'loss_bbox', 'loss_discrimination'}
    assert 'attachments.discrimination.network.head.weight' in changed
    assert 'detector.backbone.conv1.weight' in changed
    assert 'detector.backbone.layer4.0.conv1.weight' in changed
    assert 'detector.bbox_head.cls_convs.0.0.weight' in changed


def test_with_the_loss_of_the_classifier_alone(detector, batch):
    ran = []
    detector.bbox_head.register_forward_hook(lambda *_: ran.append('head'))
    terms, changed = train_step(attach(detector, detector_losses=False), batch)
    assert terms == {'loss_discrimination'}
    assert ran == []
    assert 'attachments.discrimination.network.head.weight' in changed
    assert 'detector.backbone.conv1.weight' in changed
    assert f'detector.{PATHS[1]}.weight' in changed
    behind = ('detector.backbone.layer3', 'detector.backbone.layer4', 'detector.neck')
    behind += ('detector.bbox_head', 'detector.backbone.layer2.1.bn2')
    assert not [name for name in changed if name.startswith(behind)]


def test_the_losses_are_those_of_the_layer(detector, batch):
    """The same values as from maps that a hook has seen."""
    images, samples = with_samples(batch)
    model = attach(detector).eval()
    seen = {}
    hook = detector.get_submodule(PATHS[1]).register_forward_hook(
        lambda module, args, output: seen.update({PATHS[1]: output.detach().clone()})
    )
    losses = model(images, samples, mode='loss')
    hook.remove()
    expected = model.attachments['discrimination'].losses(seen, samples)
    torch.testing.assert_close(
        losses['loss_discrimination'], expected['loss_discrimination'], rtol=1e-5, atol=0
    )
    model.detector_losses = False
    alone = model(images, samples, mode='loss')
    torch.testing.assert_close(
        alone['loss_discrimination'], losses['loss_discrimination'], rtol=1e-5, atol=0
    )


# ------------------------------------------------------------------ what it refuses


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('losses', 0),
        ('losses', 1.5),
        ('losses', True),
        ('output_size', 0),
        ('sampling_ratio', 0),
        ('detector_losses', 'no'),
        ('detector_losses', None),
    ],
)
def test_wrong_values_name_their_key(key, value):
    with pytest.raises(CompressionError, match=f'{key}='):
        ATTACHMENTS.build(dict(type='DiscriminationAuxiliary', **{key: value}))


def test_classes_of_any_detector(ssd):
    attachment = DiscriminationAuxiliary(output_size=5)
    assert attachment.build(nn.DataParallel(ssd), 4).head.out_features == 3
    two_stage = nn.Linear(1, 1)
    two_stage.roi_head = SimpleNamespace(bbox_head=SimpleNamespace(num_classes=7))
    two_stage.rpn_head = SimpleNamespace(num_classes=1)
    network = attachment.build(two_stage, 4)
    assert (network.head.out_features, network.roi_align.output_size) == (7, 5)
    cascade = nn.Linear(1, 1)
    heads = nn.ModuleList([nn.Linear(1, 1)])
    heads[0].num_classes = 4
    cascade.roi_head = SimpleNamespace(bbox_head=heads)
    assert attachment.build(cascade, 4).head.out_features == 4
    with pytest.raises(CompressionError, match='number of classes'):
        attachment.check(nn.Linear(1, 1), [])


@pytest.mark.parametrize('detector_losses', [True, False])
def test_trains_along_with_a_two_stage_detector(faster_rcnn, batch, detector_losses):
    """Layers behind the proposals are run only where the detector's own losses are asked for."""
    stages = stages_before(['backbone.layer2.1.conv2', 'rpn_head.rpn_conv'])
    attachment = DiscriminationAuxiliary(losses=1, detector_losses=detector_losses)
    attachment.check(faster_rcnn, stages)
    attached = attachment.attach(faster_rcnn, stages, 0)
    assert (attached.path, attached.network.head.out_features) == ('rpn_head.rpn_conv', 3)
    model = AttachedDetector(faster_rcnn, {attached.name: attached}, detector_losses).train()
    ran = []
    faster_rcnn.roi_head.bbox_head.register_forward_hook(lambda *_: ran.append(True))
    losses = model(*with_samples(batch), mode='loss')
    assert bool(ran) == detector_losses == ('loss_rpn_cls' in losses)
    # At the start all three classes are about as likely.
    assert float(losses['loss_discrimination']) == pytest.approx(np.log(3), abs=0.05)
    losses['loss_discrimination'].backward()
    assert faster_rcnn.rpn_head.rpn_conv.weight.grad.abs().sum() > 0
    assert faster_rcnn.backbone.conv1.weight.grad.abs().sum() > 0
