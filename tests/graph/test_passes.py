"""What training and prediction run beyond mode='tensor': nothing of it keeps an old width."""

import copy

import detectors
import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.graph.made_samples import made_samples, plain_samples

# Family: modules that lose channels and that mode='tensor' of mmdet does not run, or nothing of
# which it runs without annotations.
FAMILIES = {
    'panoptic_fpn': ['semantic_head.conv_upsample_layers.0.conv.0.conv'],
    'point_rend': ['roi_head.point_head.fcs.0.conv', 'roi_head.mask_roi_extractor'],
    'htc': ['roi_head.mask_roi_extractor.0', 'roi_head.semantic_head.lateral_convs.0.conv'],
    'sparse_rcnn': ['backbone.layer1.0.conv1'],
    'queryinst': ['backbone.layer1.0.conv1', 'roi_head.mask_head.0.convs.0.conv'],
    'cascade_rpn': ['backbone.layer1.0.conv1', 'roi_head.bbox_head.shared_fcs.0'],
    'condinst': ['mask_head.mask_feature_head.conv_branch.0.conv'],
    'yolact': ['mask_head.segm_branch.segm_conv', 'mask_head.protonet.0'],
    'solo': ['mask_head.mask_convs.0.conv', 'mask_head.cls_convs.0.conv'],
}


def halved(detector: nn.Module, groups) -> Plan:
    """Half of each group, at random."""
    totals, plan = axis_sizes(detector, groups), Plan()
    draw = torch.Generator().manual_seed(3)
    for group in groups:
        gone = torch.randperm(group.channels, generator=draw)[: group.channels // 2]
        plan = plan.remove(group, gone.tolist(), totals)
    return plan


def loss_of(detector: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of a step of training, norms and dropout apart."""
    detector.train()
    for module in detector.modules():
        if isinstance(module, (_BatchNorm, nn.Dropout, nn.MultiheadAttention)):
            module.eval()
    torch.manual_seed(0)
    samples = made_samples(detector, images)
    return detector.loss(images, samples)


@torch.no_grad()
@pytest.mark.parametrize('family', FAMILIES)
def test_losses_and_predictions_without_channels_are_those_of_zeros(family):
    detector = detectors.tiny_detector(family)
    told = []
    groups = [g for g in find_groups(detector, (64, 64), told.append) if g.obstacle is None]
    assert not told
    plan = halved(detector, groups)
    assert set(FAMILIES[family]) <= plan.modules.keys()
    masked = mask_plan(copy.deepcopy(detector), plan)
    pruned = apply_plan(copy.deepcopy(detector), plan)
    images = detectors.noise(64)
    MessageHub.get_current_instance().update_info('iter', 0)
    expected, found = loss_of(masked, images), loss_of(pruned, images)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.allclose(total(found[key]), total(value), rtol=1e-3, atol=1e-4), key
    predicted = [each.eval().predict(images, plain_samples(images)) for each in (pruned, masked)]
    for one, two in zip(*predicted, strict=True):
        if 'pred_panoptic_seg' in one:
            maps = [sample.pred_panoptic_seg.sem_seg for sample in (one, two)]
            assert (maps[0] == maps[1]).float().mean() > 0.99
            continue
        one, two = one.pred_instances, two.pred_instances
        assert len(one) == len(two)
        for key in ('scores', 'bboxes'):
            assert torch.allclose(one[key], two[key], rtol=1e-2, atol=1e-2), key


def total(loss: torch.Tensor | list[torch.Tensor]) -> torch.Tensor:
    """Of a loss that some heads give level by level."""
    return torch.stack([torch.as_tensor(value).sum() for value in loss]).sum() if isinstance(
        loss, list
    ) else torch.as_tensor(loss)  # fmt: skip
