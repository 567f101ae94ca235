"""Blocks of real detectors, what of them stays at full precision, and what is frozen when."""

import detectors
import pytest
from torch import nn

from mmdet_lcp.graph.run_order import run_order
from mmdet_lcp.weight_compression import LowBitWeights

NAMES = {
    'faster_rcnn': ['backbone stage 2', 'backbone stage 3', 'backbone stage 4',
                    'backbone stage 5', 'neck', 'roi_head'],
    'retinanet': ['backbone stage 2', 'backbone stage 3', 'backbone stage 4', 'backbone stage 5',
                  'neck', 'bbox_head'],
    # of backbones that declare no stages
    'yolox': ['backbone.stage1', 'backbone.stage2', 'backbone.stage3', 'backbone.stage4', 'neck',
              'bbox_head'],
    'rtmdet': ['backbone.stem', 'backbone.stage1', 'backbone.stage2', 'backbone.stage3',
               'backbone.stage4', 'neck', 'bbox_head'],
}  # fmt: skip


def laid_out(family: str, **keys):
    method = LowBitWeights(training=dict(max_epochs=2), **keys)
    method.check('methods.x')
    return method.stages(detectors.tiny_detector(family), 'methods.x')


@pytest.mark.parametrize('family', NAMES)
def test_default_blocks(family):
    stages, skipped = laid_out(family)
    count = len(NAMES[family])
    assert [stage.name for stage in stages] == [
        f'block {n + 1} of {count}: {name}' for n, name in enumerate(NAMES[family])
    ]
    layers = [path for stage in stages for path in stage.layers]
    assert len(layers) == len(set(layers))
    everything = {
        path
        for path, module in detectors.tiny_detector(family).named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    }
    assert set(layers) | {item.name for item in skipped} == everything


def test_what_stays_at_full_precision():
    _, skipped = laid_out('faster_rcnn')
    assert {item.name: item.reason for item in skipped} == {
        'backbone.conv1': 'it is the first layer',
        'rpn_head.rpn_conv': "it is one of the RPN's own layers",
        'rpn_head.rpn_cls': 'it makes predictions: classes, boxes or the like',
        'rpn_head.rpn_reg': 'it makes predictions: classes, boxes or the like',
        'roi_head.bbox_head.fc_cls': 'it makes predictions: classes, boxes or the like',
        'roi_head.bbox_head.fc_reg': 'it makes predictions: classes, boxes or the like',
    }


def test_keep_adds_and_keep_parts_replaces():
    _, skipped = laid_out('faster_rcnn', keep=[r'layer1\.0', 'neck.lateral'], keep_parts=['rpn'])
    reasons = {item.name: item.reason for item in skipped}
    assert reasons['backbone.layer1.0.conv2'] == 'named in methods.x.keep'
    assert reasons['neck.lateral_convs.2.conv'] == 'named in methods.x.keep'
    assert 'backbone.conv1' not in reasons and 'roi_head.bbox_head.fc_cls' not in reasons
    assert 'rpn_head.rpn_cls' in reasons
    stages, _ = laid_out('faster_rcnn', keep_parts=[])
    assert {'backbone.conv1', 'rpn_head.rpn_conv'} <= {p for s in stages for p in s.layers}


def test_what_is_frozen_behind_a_block():
    """All below its end; of what is above, and of the predictions and the RPN, nothing."""
    stages, _ = laid_out('faster_rcnn')
    first, neck = stages[0].frozen, stages[4].frozen
    assert {'backbone.conv1', 'backbone.bn1', 'backbone.layer1.1.conv2',
            'backbone.layer1.1.bn2'} <= set(first)  # fmt: skip
    assert all(path.startswith(('backbone.conv1', 'backbone.bn1', 'backbone.layer1'))
               for path in first)  # fmt: skip
    assert 'neck.fpn_convs.4.conv' in neck or 'neck.fpn_convs.3.conv' in neck
    assert not any(path.startswith(('rpn_head', 'roi_head')) for path in neck)
    weights_only, _ = laid_out('faster_rcnn', freeze_norms=False)
    assert 'backbone.conv1' in weights_only[0].frozen
    assert not any('bn' in path for stage in weights_only for path in stage.frozen)


def test_blocks_from_the_top_leave_lower_ones_free():
    """A block to come is still trained, though it lies below one that is frozen."""
    stages, _ = laid_out('faster_rcnn', layers='backbone', blocks=['layer[34]', 'layer[12]'])
    assert not any('layer1' in path or 'layer2' in path for path in stages[0].frozen)
    assert 'backbone.conv1' in stages[0].frozen
    assert {'backbone.layer1.0.bn1', 'backbone.layer2.1.conv2'} <= set(stages[1].frozen)


def test_all_at_once_has_the_sum_of_the_training():
    schedule = [dict(type='MultiStepLR', milestones=[1])]
    training = dict(max_epochs=2, lr=0.1, param_scheduler=schedule)
    method = LowBitWeights(training=training, schedule='all_at_once')
    ((stage,), _) = method.stages(detectors.tiny_detector('retinanet'), 'x')
    assert stage.training.max_epochs == 2 * 6
    assert stage.training.param_scheduler[0]['milestones'] == [6]
    assert stage.frozen == []


def test_progressive_is_greedy_without_freezing():
    greedy, _ = laid_out('faster_rcnn')
    progressive, _ = laid_out('faster_rcnn', schedule='progressive')
    assert [stage.layers for stage in progressive] == [stage.layers for stage in greedy]
    assert [stage.training for stage in progressive] == [stage.training for stage in greedy]
    assert all(stage.frozen for stage in greedy)
    assert not any(stage.frozen for stage in progressive)


def test_a_head_that_levels_share_counts_once():
    """RTMDet's convolutions stand at three places each."""
    detector = detectors.tiny_detector('rtmdet')
    stages, _ = laid_out('rtmdet')
    head = [path for path in stages[-1].layers if path.startswith('bbox_head')]
    modules = [detector.get_submodule(path) for path in head]
    assert len({id(module) for module in modules}) == len(modules) == 4
    assert set(head) <= set(run_order(detector).modules)
