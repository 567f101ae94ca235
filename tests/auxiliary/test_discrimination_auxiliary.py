"""DCP's additional losses: where they sit, what they read, and what trains on them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.optim import OptimWrapper
from torch import nn

from mmdet_lcp.auxiliary.attached_detector import AttachedDetector
from mmdet_lcp.auxiliary.discrimination_auxiliary import DiscriminationAuxiliary
from mmdet_lcp.auxiliary.object_classifier import LayerClassifier
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup, Member
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.registry import ATTACHMENTS

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
