import math
from types import SimpleNamespace

import pytest
import torch
from made_detectors import HEADS, build, packed, two_stage_config
from mmengine.config import ConfigDict
from torch import nn

from mmdet_lcp.auxiliary.attached_detector import AttachedDetector, LayerAuxiliary
from mmdet_lcp.auxiliary.localization_auxiliary import LocalizationAuxiliary
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import ATTACHMENTS


def test_is_built_from_the_registry():
    auxiliary = ATTACHMENTS.build(dict(type='LocalizationAuxiliary', box_weight=10.0))
    assert isinstance(auxiliary, LocalizationAuxiliary)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('output_size', 0),
        ('output_size', 2.5),
        ('sampling_ratio', 0),
        ('pool_mode', 'median'),
        ('cls_weight', -1),
        ('box_weight', -0.1),
        ('box_weight', float('nan')),
        ('box_weight', '50'),
        ('max_positives', 0),
        ('neg_pos_ratio', -1),
        ('boxes', 'points'),
        ('contextual', 'yes'),
    ],
)
def test_wrong_values_name_their_key(key, value):
    with pytest.raises(CompressionError, match=key):
        LocalizationAuxiliary(**{key: value})


def test_both_weights_zero_is_refused():
    with pytest.raises(CompressionError, match=r'cls_weight and box_weight'):
        LocalizationAuxiliary(cls_weight=0, box_weight=0)
    LocalizationAuxiliary(cls_weight=0)
    LocalizationAuxiliary(box_weight=0)


def test_keys_reach_the_parts(ssd):
    auxiliary = LocalizationAuxiliary(
        contextual=False,
        output_size=2,
        sampling_ratio=1,
        pool_mode='max',
        cls_weight=2.0,
        box_weight=3.0,
        max_positives=5,
        neg_pos_ratio=2,
    )
    network = auxiliary.build(ssd, in_channels=16)
    assert network.norm.num_features == 16
    assert network.cls_head.weight.shape == (4, 16 * 4)
    assert (network.roi_align.contextual, network.roi_align.pool_mode) == (False, 'max')
    assert network.roi_align.sampling_ratio == 1
    assert (network.loss.cls_weight, network.loss.box_weight) == (2.0, 3.0)
    assert network.bbox_coder is ssd.bbox_head.bbox_coder
    assert auxiliary.sampler(ssd).max_positives == 5
    assert auxiliary.sampler(ssd).neg_pos_ratio == 2
    assert LocalizationAuxiliary().sampler(ssd).neg_pos_ratio == 3


def test_each_build_is_a_fresh_network(ssd):
    auxiliary = LocalizationAuxiliary()
    first, second = auxiliary.build(ssd, 8), auxiliary.build(ssd, 8)
    assert first is not second
    assert not set(first.parameters()) & set(second.parameters())
    assert not any(isinstance(module, type(first)) for module in ssd.modules())


KINDS = [
    ('RetinaNet', 'anchors'),
    ('FCOS', 'anchors'),
    ('YOLOX', 'anchors'),
    ('RTMDet', 'anchors'),
    ('YOLOv3', 'anchors'),
    ('FasterRCNN', 'anchors'),
    ('FasterRCNN', 'proposals'),
    ('CascadeRCNN', 'proposals'),
]


def detector_of(name):
    return build(two_stage_config(kind=name) if name.endswith('RCNN') else HEADS[name])


@pytest.mark.parametrize(('name', 'boxes'), KINDS)
def test_trains_along_with_the_detector(name, boxes, batch):
    """One step of L_f = L_a + L_c + L_r on every kind of detector."""
    detector = detector_of(name)
    auxiliary = LocalizationAuxiliary(boxes=boxes)
    path = 'backbone.layer2.1.conv2'
    network = auxiliary.build(detector, detector.get_submodule(path).out_channels)
    layer = LayerAuxiliary(network, auxiliary.sampler(detector), path)
    model = AttachedDetector(detector, {'localization': layer}).train()
    torch.manual_seed(0)
    losses = model(*packed(batch), mode='loss')
    assert losses['loss_aux_cls'] > 0 and losses['loss_aux_box'] > 0
    total, _ = detector.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    assert detector.get_submodule(path).weight.grad.abs().sum() > 0
    assert network.cls_head.weight.grad.abs().sum() > 0
    assert network.box_head.weight.grad.abs().sum() > 0
    # The detector's own losses are what they are without the attachment.
    alone = detector_of(name)
    torch.manual_seed(0)
    own = alone(*packed(batch), mode='loss')
    assert set(own) == set(losses) - {'loss_aux_cls', 'loss_aux_box'}
    torch.testing.assert_close(
        alone.parse_losses(own)[0], total - losses['loss_aux_cls'] - losses['loss_aux_box']
    )


def test_an_rpn_alone_knows_one_class(batch):
    config = two_stage_config()
    rpn = dict(config.rpn_head, num_classes=1)
    detector = build(
        ConfigDict(
            type='RPN',
            backbone=config.backbone,
            neck=config.neck,
            rpn_head=rpn,
            train_cfg=config.train_cfg,
            test_cfg=config.test_cfg,
        )
    )
    auxiliary = LocalizationAuxiliary()
    samples = auxiliary.sampler(detector).sample_images(detector, *packed(batch))
    assert samples.labels.tolist() == (~samples.positive).long().tolist()
    network = auxiliary.build(detector, 16)
    losses = network(torch.randn(3, 16, 8, 8), samples)
    assert torch.isfinite(losses['loss_aux_cls']) and samples.positive.any()


def test_boxes_are_coded_as_those_of_their_head(faster_rcnn, ssd):
    auxiliary = LocalizationAuxiliary()
    assert auxiliary.build(ssd, 8).bbox_coder is ssd.bbox_head.bbox_coder
    assert auxiliary.build(faster_rcnn, 8).bbox_coder is faster_rcnn.rpn_head.bbox_coder
    proposals = LocalizationAuxiliary(boxes='proposals').build(faster_rcnn, 8)
    assert proposals.bbox_coder is faster_rcnn.roi_head.bbox_head.bbox_coder
    for network in (auxiliary.build(faster_rcnn, 8), proposals):
        assert network.num_classes == 3 and network.cls_head.out_features == 4


@pytest.mark.parametrize('name', ['FCOS', 'YOLOX', 'RTMDet', 'YOLOv3', 'GFL'])
def test_others_get_the_coder_of_ssd(name):
    coder = LocalizationAuxiliary().build(detector_of(name), 8).bbox_coder
    box, delta = torch.tensor([[10.0, 20.0, 30.0, 60.0]]), torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    # By hand: centre (20, 40) moved by 0.1 d of the size, size times exp(0.2 d).
    x, y = 20 + 0.1 * 1 * 20, 40 - 0.1 * 2 * 40
    w, h = 20 * math.exp(0.2 * 0.5), 40 * math.exp(0.2 * 3)
    expected = torch.tensor([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]])
    torch.testing.assert_close(coder.decode(box, delta), expected)


def test_refuses_detectors_it_cannot_serve(ssd, faster_rcnn):
    with pytest.raises(CompressionError, match='no bbox_head'):
        LocalizationAuxiliary().sampler(nn.Linear(1, 1))
    with pytest.raises(CompressionError, match=r"boxes='proposals'.*no roi_head"):
        LocalizationAuxiliary(boxes='proposals').sampler(ssd)
    faster_rcnn.roi_head.bbox_sampler = None
    with pytest.raises(CompressionError, match=r'StandardRoIHead has no sampler'):
        LocalizationAuxiliary(boxes='proposals').sampler(faster_rcnn)
    del faster_rcnn.rpn_head
    with pytest.raises(CompressionError, match=r"no rpn_head.*boxes='proposals'"):
        LocalizationAuxiliary().sampler(faster_rcnn)


def stage(path):
    return SimpleNamespace(
        group=SimpleNamespace(name='some.group', consumers=[SimpleNamespace(path=path)])
    )


def test_reads_maps_of_images_alone(faster_rcnn):
    auxiliary = LocalizationAuxiliary()
    auxiliary.check(faster_rcnn, [stage('backbone.layer2.1.conv2'), stage('rpn_head.rpn_conv')])
    with pytest.raises(CompressionError, match=r'some\.group.*shared_fcs.0, a Linear'):
        faster_rcnn.shared_fcs = faster_rcnn.roi_head.bbox_head.shared_fcs
        auxiliary.check(faster_rcnn, [stage('shared_fcs.0')])
    with pytest.raises(CompressionError, match=r'some\.group.*runs on single regions'):
        auxiliary.check(faster_rcnn, [stage('roi_head.bbox_head.shared_fcs.0')])


def test_wrapped_detector(ssd, faster_rcnn):
    wrapper = nn.DataParallel(ssd)
    assert LocalizationAuxiliary().sampler(wrapper).head is ssd.bbox_head
    assert LocalizationAuxiliary().build(wrapper, 8).num_classes == 3
    assert LocalizationAuxiliary().sampler(nn.DataParallel(faster_rcnn)).num_classes == 3
