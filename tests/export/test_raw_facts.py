"""What is written beside raw outputs, against mmdet's own generators and coders."""

import pytest
import torch
from made_detectors import HEADS, build, ssd_config
from mmengine.config import ConfigDict

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.raw_facts import raw_facts

SIZE = (64, 64)
TEST_CFG = ConfigDict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=7)


def facts_of(config, names=('scores', 'boxes')):
    detector = build(config)
    detector.bbox_head.test_cfg = TEST_CFG
    outputs = (torch.zeros(1, 30, 4), torch.zeros(1, 30, 4))
    return detector.bbox_head, raw_facts(detector, outputs, list(names), SIZE)


def test_a_head_with_anchors():
    head, facts = facts_of(ssd_config())
    assert facts['shapes'] == {'scores': [30, 4], 'boxes': [30, 4]}
    assert facts['activation'] == 'softmax' and facts['num_classes'] == 3
    assert facts['coder']['type'] == 'DeltaXYWHBBoxCoder'
    assert facts['coder']['stds'] == [0.1, 0.1, 0.2, 0.2]
    assert facts['strides'] == [[16.0, 16.0], [32.0, 32.0], [64.0, 64.0]]
    # the anchors of a level's grid are the written ones moved by whole strides, row by row
    grid = head.prior_generator.grid_priors([(4, 4), (2, 2), (1, 1)], device='cpu')
    for level, boxes in enumerate(facts['anchors']):
        stride, wide = facts['strides'][level][0], (4, 2, 1)[level]
        own = torch.tensor(boxes)
        expected = torch.cat(
            [own + stride * torch.tensor([x, y, x, y]) for y in range(wide) for x in range(wide)]
        )
        torch.testing.assert_close(grid[level], expected)


def test_a_head_with_points():
    head, facts = facts_of(HEADS['FCOS'])
    assert facts['activation'] == 'sigmoid' and 'anchors' not in facts
    assert facts['priors'] == {'type': 'MlvlPointGenerator', 'offset': 0.5}
    first = head.prior_generator.grid_priors([(8, 8), (4, 4), (2, 2)], device='cpu')[0][0]
    assert first.tolist() == [0.5 * side for side in facts['strides'][0]]


def test_thresholds():
    _, facts = facts_of(ssd_config())
    assert facts['test_cfg'] == {
        'score_thr': 0.05,
        'nms': {'type': 'nms', 'iou_threshold': 0.5},
        'max_per_img': 7,
    }


def test_a_head_without_thresholds():
    detector = build(ssd_config())
    with pytest.raises(CompressionError, match=r'SSDHead has no test_cfg.*`model.test_cfg`'):
        raw_facts(detector, (torch.zeros(1, 3, 4),), ['scores'], SIZE)
