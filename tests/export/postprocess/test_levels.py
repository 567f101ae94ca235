"""What the families of heads share, worked by hand."""

import torch
from mmengine.config import ConfigDict
from torch import nn

from mmdet_lcp.export.nms import Boxes
from mmdet_lcp.export.postprocess.levels import DensePostprocess, Level, large_enough, rows

SQUARES = torch.tensor([[[0.0, 0, 10, 10], [50, 0, 60, 10], [0, 50, 10, 60]]])


class Made(DensePostprocess):
    """Levels that are given."""

    def levels(self, outputs):
        return list(outputs)


def made(**cfg) -> Made:
    head = nn.Module()
    keys = dict(nms_pre=2, score_thr=0.3, max_per_img=5, nms=dict(type='nms', iou_threshold=0.5))
    head.test_cfg = ConfigDict({**keys, **cfg})
    return Made(head, (64, 48))


def test_rows_are_priors():
    """As mmdet: (N, A * K, H, W) -> permute(0, 2, 3, 1).reshape(N, -1, K)."""
    values = torch.arange(2 * 6 * 2 * 3.0).reshape(2, 6, 2, 3)
    torch.testing.assert_close(rows(values, 3), values.permute(0, 2, 3, 1).reshape(2, -1, 3))


def test_boxes_end_at_the_image():
    boxes = torch.tensor([[[-3.0, 2, 70, 80]]])
    assert made().clip(boxes).tolist() == [[[0, 2, 48, 64]]]
    assert made().clip(boxes, 1).tolist() == [[[0, 2, 47, 63]]]


def test_the_best_of_each_level_that_pass():
    """nms_pre=2 of six; then the factor."""
    scores = torch.tensor([[[0.9, 0.1], [0.2, 0.8], [0.4, 0.35]]])
    level = Level(SQUARES, scores, torch.tensor([[0.5, 1.0, 1.0]]))
    found = made().select([level])
    assert found.boxes[0].tolist() == SQUARES[0, :2].tolist()
    torch.testing.assert_close(found.scores, torch.tensor([[0.45, 0.8]]))
    assert found.labels.tolist() == [[0, 1]]


def test_the_threshold_comes_before_the_factor():
    scores = torch.tensor([[[0.9], [0.2], [0.4]]])
    level = Level(SQUARES, scores, torch.tensor([[0.1, 1.0, 1.0]]))
    _, decoded = made().decoded([level])
    torch.testing.assert_close(decoded, torch.tensor([[[0.09], [0.0], [0.4]]]))


def test_small_boxes_have_no_score():
    found = Boxes(SQUARES, torch.full((1, 3), 0.9), torch.zeros(1, 3))
    assert large_enough(found, 9.0).tolist() == torch.full((1, 3), 0.9).tolist()
    assert large_enough(found, 10.0).tolist() == [[0, 0, 0]]


def test_overlapping_boxes_go():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 50, 10, 60]]])
    found = made(nms_pre=-1).detections([Level(boxes, torch.tensor([[[0.9], [0.8], [0.7]]]))])
    there = found.scores[0] > 0
    torch.testing.assert_close(found.scores[0, there], torch.tensor([0.9, 0.7]))
