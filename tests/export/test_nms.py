"""NMS of a batch against mmcv's, image by image; and its padding."""

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms

from mmdet_lcp.export.nms import Boxes, best, suppress


def candidates(images: int = 3, count: int = 200) -> Boxes:
    """Many that overlap, some that do not count; one image has none."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(images, count, 2, generator=generator) * 60 - 5
    sides = torch.rand(images, count, 2, generator=generator) * 40
    scores = torch.rand(images, count, generator=generator)
    scores = torch.where(scores > 0.3, scores, torch.zeros_like(scores))
    scores[-1] = 0
    labels = torch.randint(0, 4, (images, count), generator=generator)
    return Boxes(torch.cat([corners, corners + sides], -1), scores, labels)


@pytest.mark.parametrize('class_agnostic', [False, True])
@pytest.mark.parametrize('most', [5, 300])
def test_the_same_as_mmcv(class_agnostic, most):
    given = candidates()
    found = suppress(given, 0.4, most, class_agnostic)
    assert found.boxes.shape == (3, most, 4)
    for image in range(3):
        valid = given.scores[image] > 0
        kept = torch.zeros(0, dtype=torch.long)
        if valid.any():
            _, kept = batched_nms(
                given.boxes[image, valid], given.scores[image, valid], given.labels[image, valid],
                dict(type='nms', iou_threshold=0.4), class_agnostic,
            )  # fmt: skip
        kept = valid.nonzero()[:, 0][kept[:most]]
        there = found.labels[image] >= 0
        assert there.sum() == len(kept) and there[: len(kept)].all()
        for own, all_ in zip(found, given, strict=True):
            assert torch.equal(own[image, : len(kept)], all_[image, kept])
        assert (found.scores[image, len(kept) :] == 0).all()
        assert (found.boxes[image, len(kept) :] == 0).all()


def test_the_best():
    """Of two, the better first; the third place is empty."""
    boxes = torch.arange(8.0).reshape(1, 2, 4)
    found = best(Boxes(boxes, torch.tensor([[0.2, 0.7]]), torch.tensor([[4, 5]])), 3)
    assert np.allclose(found.scores, [[0.7, 0.2, 0]])
    assert found.labels.tolist() == [[5, 4, -1]]
    assert found.boxes[0].tolist() == [[4, 5, 6, 7], [0, 1, 2, 3], [0, 0, 0, 0]]
