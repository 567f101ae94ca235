"""What the families' tests share: heads of mmdet, and candidates by their own prediction."""

from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from torch import Tensor, nn

SIZE = 64
META = dict(
    img_shape=(SIZE, SIZE), batch_input_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0),
    border=[0.0, SIZE, 0.0, SIZE],
)  # fmt: skip
EVERYTHING = dict(
    nms_pre=10000, score_thr=0.0, min_bbox_size=-1, max_per_img=10000,
    nms=dict(type='nms', iou_threshold=0.5),
)  # fmt: skip
ANCHORS = dict(
    type='AnchorGenerator', ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=[8, 16]
)
SIDES = (8, 4)  # of the maps of strides 8 and 16


def build_head(kind: str, **keys: Any) -> nn.Module:
    """A head of three classes and two levels, without a threshold, in eval mode."""
    register_all_modules()
    torch.manual_seed(0)
    keys = {**dict(test_cfg=EVERYTHING), **keys}
    return MODELS.build(ConfigDict(type=kind, **keys)).eval()


def maps(*channels: int, spread: float = 1.0) -> tuple[list[Tensor], ...]:
    """Made-up outputs of a head: for each of some kinds a map a level."""
    return tuple([spread * torch.randn(1, width, s, s) for s in SIDES] for width in channels)


def same_candidates(boxes: Tensor, scores: Tensor, expected: Any) -> None:
    """All boxes and scores of an image are those of mmdet, which has a row for each class.

    Args:
        boxes: (1, A, 4).
        scores: (1, A, C); what is 0 is not there.
        expected: mmdet's `InstanceData`.
    """
    assert len(expected)
    for label in range(scores.shape[2]):
        own = expected[expected.labels == label]
        factors = own.get('score_factors')
        values = own.scores if factors is None else own.scores * factors
        order = values.argsort(descending=True)
        there = int((scores[0, :, label] > 0).sum())
        mine = scores[0, :, label].argsort(descending=True)[:there]
        assert len(own) == there
        torch.testing.assert_close(scores[0, mine, label], values[order])
        assert len(values.unique()) == len(values), 'boxes are told apart by their scores'
        torch.testing.assert_close(boxes[0, mine], own.bboxes[order], atol=1e-3, rtol=1e-4)
