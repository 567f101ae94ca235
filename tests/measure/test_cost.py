import warnings
from functools import partial

import detectors
import pytest
import small_ssd
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.analysis import FlopAnalyzer, get_model_complexity_info
from mmengine.config import ConfigDict
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.forward import SIDES
from mmdet_lcp.measure.cost import (
    backbone_macs,
    count_macs,
    detector_cost,
    layer_macs,
    macs_by_module,
    module_macs,
)
from mmdet_lcp.measure.one_image import evaluating, prepare

PREPROCESSOR = dict(
    type='DetDataPreprocessor', mean=[120] * 3, std=[60] * 3, bgr_to_rgb=True, pad_size_divisor=32
)
BACKBONE = dict(
    type='ResNet',
    depth=18,
    base_channels=8,
    norm_cfg=dict(type='BN', requires_grad=True),
    frozen_stages=1,
    style='pytorch',
)
NECK = dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=16, num_outs=5)


def single_stage():
    register_all_modules()
    return MODELS.build(
        ConfigDict(
            type='RetinaNet',
            data_preprocessor=PREPROCESSOR,
            backbone=BACKBONE,
            neck=NECK,
            bbox_head=dict(
                type='RetinaHead',
                num_classes=3,
                in_channels=16,
                feat_channels=16,
                stacked_convs=1,
                anchor_generator=dict(
                    type='AnchorGenerator',
                    octave_base_scale=4,
                    scales_per_octave=1,
                    ratios=[1.0],
                    strides=[4, 8, 16, 32, 64],
                ),
            ),
            test_cfg=dict(
                nms_pre=99, max_per_img=9, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5)
            ),
        )
    )


def two_stage():
    register_all_modules()
    return MODELS.build(
        ConfigDict(
            type='FasterRCNN',
            train_cfg=None,
            data_preprocessor=PREPROCESSOR,
            backbone=BACKBONE,
            neck=NECK,
            rpn_head=dict(
                type='RPNHead',
                in_channels=16,
                feat_channels=16,
                anchor_generator=dict(
                    type='AnchorGenerator', scales=[8], ratios=[1.0], strides=[4, 8, 16, 32, 64]
                ),
            ),
            roi_head=dict(
                type='StandardRoIHead',
                bbox_roi_extractor=dict(
                    type='SingleRoIExtractor',
                    roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
                    out_channels=16,
                    featmap_strides=[4, 8, 16, 32],
                ),
                bbox_head=dict(
                    type='Shared2FCBBoxHead', in_channels=16, fc_out_channels=32, num_classes=3
                ),
            ),
            test_cfg=dict(
                rpn=dict(
                    nms_pre=50,
                    max_per_img=20,
                    min_bbox_size=0,
                    nms=dict(type='nms', iou_threshold=0.7),
                ),
                rcnn=dict(max_per_img=9, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5)),
            ),
        )
    )


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.Conv2d(8, 8, 3, groups=4)
        )
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.shared = nn.Conv2d(6, 6, (1, 3), padding=(0, 1))
        self.fc = nn.Linear(6, 5)
        self.unused = nn.Linear(2, 2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        x = self.up(self.backbone(x))
        x = self.shared(self.shared(x))
        return self.drop(self.fc(x.mean((2, 3))))


def test_hand_formula():
    net = Net()
    macs = module_macs(net, (16, 20))
    assert macs == {
        'backbone.0': 8 * 10 * 8 * 3 * 9,
        'backbone.1': 6 * 8 * 8 * 2 * 9,
        'up': 6 * 8 * 8 * 6 * 4,
        'shared': 2 * 12 * 16 * 6 * 6 * 3,
        'fc': 6 * 5,
        'unused': 0,
    }
    cost = detector_cost(net, (16, 20))
    assert cost == dict(params=sum(p.numel() for p in net.parameters()), macs=sum(macs.values()))
    assert backbone_macs(net, (16, 20)) == macs['backbone.0'] + macs['backbone.1']
    assert backbone_macs(net, (16, 20), prefix='up') == macs['up']
    assert not any(m._forward_hooks for m in net.modules())


def test_by_module():
    net = Net()
    macs = macs_by_module(net, (16, 20))
    layers = module_macs(net, (16, 20))
    assert {path: macs[path] for path in layers if layers[path]} == {
        path: count for path, count in layers.items() if count
    }
    assert macs['backbone'] == layers['backbone.0'] + layers['backbone.1']
    assert macs[''] == detector_cost(net, (16, 20))['macs']


@pytest.mark.parametrize('build', [single_stage, two_stage])
def test_same_as_get_flops(build, capfd):
    detector = build()
    detector.train()
    modes = {name: module.training for name, module in detector.named_modules()}
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        cost = detector_cost(detector, (60, 90))
    assert capfd.readouterr() == ('', '')
    assert modes == {name: module.training for name, module in detector.named_modules()}
    assert not modes['backbone.layer1']  # frozen, and train() would keep it so

    with evaluating(detector):
        forward, image = prepare(detector, (60, 90))
        assert image.shape == (1, 3, 64, 96)
        detector.forward = partial(detector.forward, data_samples=[forward.data_sample])
        reference = get_model_complexity_info(
            detector, None, inputs=image, show_table=False, show_arch=False
        )
        operators = FlopAnalyzer(detector, image).by_operator()
        del detector.forward
    assert cost == dict(params=reference['params'], macs=reference['flops'])
    assert cost['params'] == sum(p.numel() for p in detector.parameters())

    macs = module_macs(detector, (60, 90))
    assert sum(macs.values()) == operators['conv'] + operators['linear']
    assert 0 < backbone_macs(detector, (60, 90)) < sum(macs.values()) <= cost['macs']


DETECTORS = {
    'ssd': (small_ssd.build, 64),
    'faster_rcnn': (two_stage, 96),
    'depth-wise': (partial(detectors.tiny_detector, 'ssdlite'), 64),
}


@pytest.mark.parametrize(('build', 'size'), DETECTORS.values(), ids=DETECTORS)
def test_pytorch_counts_two_operations_for_each(build, size):
    """PyTorch's counter knows convolutions and matrix products alone, layer by layer the same.

    What it does not count, mmengine does: norms, resizing and pooling.
    """
    detector = build()
    found = count_macs(detector, (size, size))
    with evaluating(detector):
        forward, image = prepare(detector, (size, size))
        with FlopCounterMode(display=False) as counter:
            forward(image)
        operators = FlopAnalyzer(forward, image).unsupported_ops_warnings(False)
        operators = operators.tracer_warnings('none').by_operator()
    layers = {path: sum(parts.values()) for path, parts in found.layers.items()}
    assert 2 * sum(layers.values()) == counter.get_total_flops()
    root = '_Forward.detector.'
    flops = {
        path.removeprefix(root): sum(by_operator.values())
        for path, by_operator in counter.get_flop_counts().items()
        if path.startswith(root)
    }
    assert {path: 2 * macs for path, macs in layers.items() if macs} == {
        path: flops[path] for path in layers if flops.get(path)
    }
    others = {'batch_norm', 'upsample_nearest2d', 'adaptive_avg_pool2d'}
    assert set(operators) <= {'conv', 'linear', *others}
    assert found.modules[''] - sum(layers.values()) == sum(operators[name] for name in others)


def test_parametrized_layers_are_counted():
    class Half(nn.Module):
        def forward(self, weight):
            return weight / 2

    net = Net()
    before = module_macs(net, (16, 20))
    torch.nn.utils.parametrize.register_parametrization(net.backbone[0], 'weight', Half())
    assert module_macs(net, (16, 20)) == before


@pytest.mark.parametrize('shape', [(300,), (3, 300, 300), (0, 5), (10.0, 10)])
def test_wrong_shape(shape):
    with pytest.raises(CompressionError, match='input_shape'):
        detector_cost(Net(), shape)


def test_modes_come_back_after_an_error():
    net = Net().train()
    with pytest.raises(RuntimeError):
        detector_cost(net, (1, 1))
    assert net.training and net.drop.training


def test_a_detector_that_wants_proposals():
    """Fast R-CNN is Faster R-CNN without an RPN: in all the rest they cost the same."""
    model = detectors.tiny_model('faster_rcnn')
    faster = MODELS.build(model.copy())
    faster_macs = macs_by_module(faster, (64, 64))
    model.type = 'FastRCNN'
    model.pop('rpn_head')
    fast = MODELS.build(model)
    macs = macs_by_module(fast, (64, 64))
    assert macs['backbone'] == faster_macs['backbone'] > 0
    assert macs['neck'] == faster_macs['neck'] > 0
    head = fast.roi_head.bbox_head
    layers = (*head.shared_fcs, head.fc_cls, head.fc_reg)
    expected = len(SIDES) * sum(layer.weight.numel() for layer in layers)
    assert sum(module_macs(fast, (64, 64))[p] for p in paths(fast, layers)) == expected


def paths(detector: nn.Module, modules) -> list[str]:
    names = {module: name for name, module in detector.named_modules()}
    return [names[module] for module in modules]


def test_a_pruned_two_stage_detector_on_the_proposals_of_the_dense_one():
    """By hand: fc_cls has 32 x 4 weights for each region; its own proposal is one alone."""
    torch.manual_seed(0)
    dense, other = two_stage(), two_stage()
    other.rpn_head.test_cfg.max_per_img = 1
    own = layer_macs(other, (96, 96))
    found = layer_macs(other, (96, 96), like=dense)
    expected = layer_macs(dense, (96, 96))
    dense_boxes = expected['roi_head.bbox_head.fc_cls']['weight'] / (32 * 4)
    assert dense_boxes > 1 and own['roi_head.bbox_head.fc_cls']['weight'] == 32 * 4
    head = [path for path in own if path.startswith('roi_head')]
    assert all(own[path]['weight'] < expected[path]['weight'] for path in head)
    assert found == expected
    assert 'predict' not in vars(dense.rpn_head) and 'predict' not in vars(other.rpn_head)
    assert layer_macs(other, (96, 96)) == own
    assert detector_cost(other, (96, 96), dense) == detector_cost(dense, (96, 96))


def test_a_dense_detector_that_proposes_nothing():
    dense, other = two_stage(), two_stage()
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.fill_(float('nan'))
    macs = layer_macs(other, (96, 96), like=dense)
    assert macs['roi_head.bbox_head.shared_fcs.0'] == {'weight': 16 * 7 * 7 * 32}
