"""What is found in one image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmdet_lcp_runtime.masks import run_lengths


@dataclass(frozen=True)
class Detections:
    """Detections of one image, best first.

    Attributes:
        boxes: (K, 4), float32: x1, y1, x2, y2 in pixels of the image that was given.
        scores: (K,), float32, 0 to 1.
        labels: (K,), int64, numbers of `classes`.
        masks: (K, H, W), bool, of the image's size, or None.
        classes: name of each label.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None = None
    classes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> list[str]:
        """Name of the class of each; its number where the file has no names."""
        known = len(self.classes)
        return [self.classes[n] if n < known else str(n) for n in self.labels.tolist()]

    def above(self, score: float) -> 'Detections':
        """Those with at least this score."""
        stay = self.scores >= score
        masks = None if self.masks is None else self.masks[stay]
        return Detections(
            self.boxes[stay], self.scores[stay], self.labels[stay], masks, self.classes
        )

    def rows(self) -> list[dict]:
        """Plain data, one dict each: ``label``, ``name``, ``score``, ``box``.

        Where there are masks, ``segmentation`` too: COCO's uncompressed run lengths.
        """
        found = [
            {'label': label, 'name': name, 'score': round(score, 5), 'box': box}
            for label, name, score, box in zip(
                self.labels.tolist(),
                self.names,
                self.scores.tolist(),
                self.boxes.astype(np.float64).round(2).tolist(),
                strict=True,
            )
        ]
        if self.masks is not None:
            for row, mask in zip(found, self.masks, strict=True):
                row['segmentation'] = run_lengths(mask)
        return found
