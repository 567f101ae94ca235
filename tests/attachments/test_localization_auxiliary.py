import mmdet.models  # noqa: F401
import pytest
from mmdet.registry import MODELS as MMDET_MODELS
from torch import nn

from mmdet_lcp.attachments import LocalizationAuxiliary, Taps
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
    )
    network = auxiliary.build(ssd, in_channels=16)
    assert network.norm.num_features == 16
    assert network.cls_head.weight.shape == (4, 16 * 4)
    assert (network.roi_align.contextual, network.roi_align.pool_mode) == (False, 'max')
    assert network.roi_align.sampling_ratio == 1
    assert (network.loss.cls_weight, network.loss.box_weight) == (2.0, 3.0)
    assert network.bbox_coder is ssd.bbox_head.bbox_coder
    assert auxiliary.sampler(ssd).max_positives == 5
    assert auxiliary.sampler(ssd).neg_pos_ratio == 3


def test_each_build_is_a_fresh_network(ssd):
    auxiliary = LocalizationAuxiliary()
    first, second = auxiliary.build(ssd, 8), auxiliary.build(ssd, 8)
    assert first is not second
    assert not set(first.parameters()) & set(second.parameters())
    assert not any(isinstance(module, type(first)) for module in ssd.modules())


def test_trains_along_with_the_detector(ssd, batch):
    """One step of L_f = L_a + L_c + L_r, as a runner would take it."""
    images, instances, metas = batch
    auxiliary = LocalizationAuxiliary()
    path = 'backbone.layer2.1.conv1'
    channels = ssd.get_submodule(path).out_channels
    network, sampler = auxiliary.build(ssd, channels), auxiliary.sampler(ssd)
    ssd.train()
    with Taps(ssd, [path, 'bbox_head']) as taps:
        features = ssd.extract_feat(images)
        cls_scores, deltas = ssd.bbox_head(features)
        losses = ssd.bbox_head.loss_by_feat(cls_scores, deltas, instances, metas)
    assert taps['bbox_head'][0] is cls_scores
    samples = sampler.sample(cls_scores, instances, metas)
    extra = network(taps[path], samples)
    assert samples.positive.sum() > 0
    (sum(sum(value) for value in losses.values()) + sum(extra.values())).backward()
    assert ssd.get_submodule(path).weight.grad.abs().sum() > 0
    assert network.cls_head.weight.grad.abs().sum() > 0


def test_refuses_detectors_it_cannot_serve():
    auxiliary = LocalizationAuxiliary()
    with pytest.raises(CompressionError, match='bbox_head'):
        auxiliary.sampler(nn.Linear(1, 1))
    detector = nn.Module()
    detector.bbox_head = MMDET_MODELS.build(
        dict(type='FCOSHead', num_classes=2, in_channels=8, feat_channels=32)
    )
    with pytest.raises(CompressionError, match='anchor-based one-stage head'):
        auxiliary.build(detector, 8)
    detector.bbox_head = MMDET_MODELS.build(
        dict(
            type='GFLHead',
            num_classes=2,
            in_channels=8,
            feat_channels=32,
            stacked_convs=1,
            anchor_generator=dict(
                type='AnchorGenerator',
                ratios=[1.0],
                octave_base_scale=8,
                scales_per_octave=1,
                strides=[8],
            ),
            train_cfg=dict(
                assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1
            ),
        )
    )
    with pytest.raises(CompressionError, match='bbox_coder'):
        auxiliary.build(detector, 8)


def test_wrapped_detector(ssd):
    wrapper = nn.DataParallel(ssd)
    assert LocalizationAuxiliary().sampler(wrapper).head is ssd.bbox_head
    assert LocalizationAuxiliary().build(wrapper, 8).num_classes == 3
