"""Against the losses themselves, box by box."""

import pytest
import torch
import torch.nn.functional as F
from made_detectors import HEADS, build

from mmdet_lcp.detectors.background_loss import background_loss
from mmdet_lcp.errors import CompressionError


def outputs_of(detector, batch):
    with torch.no_grad():
        return detector.bbox_head(detector.extract_feat(batch[0]))


def flat(levels, width):
    """(N, P, width), place by place, written as loops."""
    images = []
    for image in range(len(levels[0])):
        rows = []
        for level in levels:
            _, channels, height, wide = level.shape
            for y in range(height):
                for x in range(wide):
                    for box in range(channels // width):
                        rows.append(level[image, box * width : (box + 1) * width, y, x])
        images.append(torch.stack(rows))
    return torch.stack(images)


def test_softmax(ssd, batch):
    outputs = outputs_of(ssd, batch)
    rows = flat(outputs[0], 4)
    background = torch.full(rows.shape[:2], 3)
    expected = F.cross_entropy(rows.flatten(0, 1), background.flatten(), reduction='none')
    torch.testing.assert_close(background_loss(ssd.bbox_head, outputs).flatten(), expected)


@pytest.mark.parametrize('name', ['RetinaNet', 'FCOS', 'RTMDet'])
def test_sigmoid(name, batch):
    detector = build(HEADS[name])
    outputs = outputs_of(detector, batch)
    rows = flat(outputs[0], 3)
    zero = torch.zeros_like(rows)
    expected = F.binary_cross_entropy_with_logits(rows, zero, reduction='none').sum(dim=-1)
    found = background_loss(detector.bbox_head, outputs)
    torch.testing.assert_close(found, expected)
    assert found.std() > 0


@pytest.mark.parametrize(
    ('name', 'part', 'width', 'at'), [('YOLOX', 2, 1, 0), ('YOLOv3', 0, 8, 4)]
)
def test_objectness(name, part, width, at, batch):
    detector = build(HEADS[name])
    outputs = outputs_of(detector, batch)
    rows = flat(outputs[part], width)[..., at]
    zero = torch.zeros_like(rows)
    expected = F.binary_cross_entropy_with_logits(rows, zero, reduction='none')
    torch.testing.assert_close(background_loss(detector.bbox_head, outputs), expected)


def test_outputs_without_scores_are_refused(ssd):
    with pytest.raises(CompressionError, match=r'SSDHead.*hard negatives'):
        background_loss(ssd.bbox_head, (torch.zeros(2, 4),))
    with pytest.raises(CompressionError, match=r'SSDHead.*hard negatives'):
        background_loss(ssd.bbox_head, ([torch.zeros(2, 7, 3, 3)],))
