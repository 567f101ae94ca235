"""Outputs of heads of each kind, laid out as rows."""

import pytest
import torch
from detectors import noise, tiny_detector
from made_detectors import HEADS, build
from torch import nn

from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.selection.head_outputs import output_parts

CLASSES = 3  # of tests/detectors.py


def parts_of(family):
    detector = tiny_detector(family).eval()
    with torch.no_grad():
        outputs = tensor_forward(detector, noise())
    return outputs, output_parts(detector, outputs)


def test_scores_and_values_of_a_row_belong_to_one_prior():
    outputs, (part,) = parts_of('retinanet')
    scores, boxes = (level[0] for level in outputs)
    anchors = scores.shape[1] // CLASSES
    image, anchor, y, x = 1, 4, 2, 3
    height, width = scores.shape[2:]
    row = ((image * anchors + anchor) * height + y) * width + x
    own = slice(anchor * CLASSES, (anchor + 1) * CLASSES)
    torch.testing.assert_close(part.scores[row], scores[image, own, y, x])
    own = slice(anchor * 4, (anchor + 1) * 4)
    torch.testing.assert_close(part.values[0][row], boxes[image, own, y, x])


@pytest.mark.parametrize(
    ('family', 'widths', 'softmax'),
    [
        ('fcos', [3, 4, 1], False),
        ('yolox', [3, 4, 1], False),
        ('ssdlite', [4, 4], True),
    ],
)
def test_kinds_of_one_stage(family, widths, softmax):
    _, (part,) = parts_of(family)
    assert [rows.shape[1] for rows in (part.scores, *part.values)] == widths
    assert part.softmax == softmax
    assert len({len(rows) for rows in (part.scores, *part.values)}) == 1


def test_probabilities_become_logits():
    """TOOD's scores have been through their sigmoid."""
    detector = build(HEADS['TOOD']).eval()
    with torch.no_grad():
        outputs = tensor_forward(detector, torch.randn(1, 3, 64, 64))
    scores = outputs[0]
    assert all(((level > 0) & (level < 1)).all() for level in scores)
    (part,) = output_parts(detector, outputs)
    rows = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, CLASSES) for level in scores])
    torch.testing.assert_close(part.scores.sigmoid(), rows)


@pytest.mark.parametrize('softmax', [True, False])
def test_queries(softmax):
    """As DETR's head gives them: each decoder layer's scores and boxes."""
    head = nn.Module()
    head.cls_out_channels = CLASSES + softmax
    head.loss_cls = nn.Module()
    head.loss_cls.use_sigmoid = not softmax
    detector = nn.Module()
    detector.bbox_head = head
    scores, boxes = torch.randn(6, 2, 10, CLASSES + softmax), torch.randn(6, 2, 10, 4)
    (part,) = output_parts(detector, (scores, boxes))
    assert part.softmax == softmax
    torch.testing.assert_close(part.scores[(5 * 2 + 1) * 10 + 7], scores[5, 1, 7])
    torch.testing.assert_close(part.values[0][(5 * 2 + 1) * 10 + 7], boxes[5, 1, 7])


def test_two_stages():
    _, parts = parts_of('mask_rcnn')
    rpn, regions, masks = parts
    assert rpn.scores.shape[1] == 1 and not rpn.softmax and rpn.values[0].shape[1] == 4
    assert regions.scores.shape[1] == CLASSES + 1 and regions.softmax
    assert regions.values[0].shape == (len(regions.scores), 4 * CLASSES)
    assert masks.scores is None and masks.values[0].dim() == 4


def test_a_cascade():
    """mmdet gives the scores of each image, then the boxes of each."""
    outputs, (_, *images) = parts_of('cascade_rcnn')
    found = outputs[1]
    for part, scores, boxes in zip(images, *found, strict=True):
        assert part.scores is scores and part.values[0] is boxes and part.softmax


def test_every_output_of_any_network():
    net = nn.ModuleDict(dict(a=nn.Linear(2, 3)))
    outputs = [torch.ones(2, 3), (torch.zeros(4), torch.ones(3, dtype=torch.long))]
    parts = output_parts(net, outputs)
    assert [part.scores for part in parts] == [None, None]  # integers cannot be learned
    assert [tuple(part.values[0].shape) for part in parts] == [(2, 3), (4,)]
