"""Candidates of a detector's levels, and mmdet's usual way to choose among them.

A family of heads says how its outputs become boxes and scores of all candidates (`levels`); what
follows is shared. The coders, priors and activations are the head's own.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.nms import Boxes, best, suppress
from mmdet_lcp.export.thresholds import Thresholds, read_thresholds

OTHERS = 'score_factor'


class Level(NamedTuple):
    """All candidates of one level.

    Attributes:
        boxes: x1, y1, x2, y2 in pixels of the input, (N, A, 4).
        scores: of the classes, without background, (N, A, C), in [0, 1].
        factors: what scores are multiplied by once they passed the threshold, (N, A), or None.
    """

    boxes: Tensor
    scores: Tensor
    factors: Tensor | None = None


class DensePostprocess:
    """A head's outputs to detections.

    Args:
        head: the dense head; its coder, priors and `test_cfg` are used.
        image_size: (height, width) in pixels of the input.
    """

    names: tuple[str, ...] = ('cls_score', 'bbox_pred', OTHERS)
    any_batch = True  # whether the network itself runs on batches of any size
    with_nms = True
    reads_nms_pre = True  # whether mmdet leaves candidates out before NMS

    def __init__(self, head: nn.Module, image_size: tuple[int, int]) -> None:
        self.head = head
        self.height, self.width = image_size
        self.cfg = head.test_cfg
        self.thresholds: Thresholds = read_thresholds(
            self.cfg, f'bbox_head ({type(head).__name__})', self.with_nms
        )
        if not self.reads_nms_pre:
            self.thresholds = replace(self.thresholds, nms_pre=-1)
        self._priors: dict[Any, list[Tensor]] = {}

    # ------------------------------------------------------------------ the family's part

    def levels(self, outputs: tuple) -> list[Level]:
        """All candidates, from what the head's forward gives."""
        raise NotImplementedError

    def choices(self, level: Level) -> int:
        """Of a head without NMS: how many detections it can choose from a level at most."""
        return int(level.scores.shape[1] * level.scores.shape[2])

    # ------------------------------------------------------------------ shared

    def decoded(self, outputs: tuple) -> tuple[Tensor, Tensor]:
        """Boxes (N, A, 4) and scores (N, A, C) of all candidates.

        Scores that do not pass the threshold are 0 where a factor follows: mmdet compares them
        before the multiplication, so that who only sees the product could not.
        """
        levels = self.levels(outputs)
        for level in levels:
            self._check_number(level)
        scores = [
            level.scores
            if level.factors is None
            else self._passing(level.scores) * level.factors[..., None]
            for level in levels
        ]
        return torch.cat([level.boxes for level in levels], 1), torch.cat(scores, 1)

    def select(self, outputs: tuple) -> Boxes:
        """The candidates that take part in NMS: the `nms_pre` best of each level."""
        chosen = [self._best_of(level) for level in self.levels(outputs)]
        found = Boxes(*(torch.cat(part, 1) for part in zip(*chosen, strict=True)))
        least = self.cfg.get('min_bbox_size', -1)
        if least >= 0:
            found = found._replace(scores=large_enough(found, least))
        return found

    def detections(self, outputs: tuple) -> Boxes:
        """What is reported, (N, max_per_img) each."""
        limits, found = self.thresholds, self.select(outputs)
        if not self.with_nms:
            return best(found, limits.max_per_img)
        return suppress(found, limits.iou, limits.max_per_img, limits.class_agnostic)

    def priors(self, maps: list[Tensor], **keys: Any) -> list[Tensor]:
        """Priors of each level, as constants: they are computed once, outside of any trace."""
        sizes = tuple(tuple(int(side) for side in each.shape[-2:]) for each in maps)
        if sizes not in self._priors:
            self._priors[sizes] = self.head.prior_generator.grid_priors(
                sizes, device=maps[0].device, **keys
            )
        return self._priors[sizes]

    def clip(self, boxes: Tensor, less: float = 0.0) -> Tensor:
        """Boxes within the image; `less` pixels less on the right and at the bottom."""
        sides = [self.width - less, self.height - less] * 2
        return torch.minimum(boxes.clamp(min=0.0), boxes.new_tensor(sides))

    def _check_number(self, level: Level) -> None:
        most, there = self.thresholds.max_per_img, self.choices(level)
        if not self.with_nms and most > there:
            key = 'topk' if 'topk' in self.cfg else 'max_per_img'
            raise CompressionError(
                f'test_cfg.{key}={most}: bbox_head ({type(self.head).__name__}) chooses among '
                f'{there} candidates, and mmdet itself fails where more are asked for: take at '
                f'most {there} (--max-per-img)'
            )

    def _passing(self, scores: Tensor) -> Tensor:
        return torch.where(scores > self.thresholds.score, scores, torch.zeros_like(scores))

    def _best_of(self, level: Level) -> Boxes:
        classes = int(level.scores.shape[2])
        flat = self._passing(level.scores).flatten(1)
        count, most = int(flat.shape[1]), self.thresholds.nms_pre
        self._check_number(level)
        scores, index = flat.topk(min(most, count) if most > 0 else count, dim=1)
        which = torch.div(index, classes, rounding_mode='trunc')
        boxes = level.boxes.gather(1, which[..., None].expand(-1, -1, 4))
        if level.factors is not None:
            scores = scores * level.factors.gather(1, which)
        return Boxes(boxes, scores, index - which * classes)


def large_enough(found: Boxes, least: float) -> Tensor:
    """Scores; 0 where a side is not longer than `least` pixels."""
    wide = found.boxes[..., 2] - found.boxes[..., 0] > least
    high = found.boxes[..., 3] - found.boxes[..., 1] > least
    return torch.where(wide & high, found.scores, torch.zeros_like(found.scores))


def rows(values: Tensor, columns: int) -> Tensor:
    """A map (N, A * columns, H, W) as a row a prior, (N, H * W * A, columns)."""
    count = int(values.shape[1] * values.shape[2] * values.shape[3]) // columns
    return values.permute(0, 2, 3, 1).reshape(-1, count, columns)


def decode_rows(coder: Any, priors: Tensor, values: Tensor, **keys: Any) -> Tensor:
    """A coder's `decode` of a batch: priors (A, d), values (N, A, e), boxes (N, A, 4).

    Coders take one image's boxes. The image's border is left out, see `DensePostprocess.clip`.
    """
    spread = priors.expand(values.shape[0], -1, -1).reshape(-1, priors.shape[-1])
    boxes = coder.decode(spread, values.reshape(-1, values.shape[-1]), **keys)
    return boxes.reshape(-1, int(values.shape[1]), 4)
