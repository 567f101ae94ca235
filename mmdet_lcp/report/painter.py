"""An image with boxes drawn on it, as large as it is looked at."""

from __future__ import annotations

import warnings
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.structures.bbox import get_box_tensor
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from mmdet_lcp.report.figures import as_written

_LONG_SIDE = 640
_SHORT_SIDE = 300
_LETTERS = 11  # font size; mmdet shrinks the labels of small boxes below what can be read


class Painter(DetLocalVisualizer):
    """mmdet's visualizer with labels that can be read on small boxes and stay in the picture."""

    def __init__(self, meta: dict[str, Any], name: str = 'detections') -> None:
        with warnings.catch_warnings():  # it keeps no files, and warns that it cannot
            warnings.simplefilter('ignore')
            super().__init__(name, line_width=2, text_color=(255, 255, 255))
        self.classes = list(meta.get('classes') or [])
        self.palette = [tuple(color) for color in meta.get('palette') or []]
        self.labels: list[tuple[float, float, float, float]] = []  # x, y, width, height

    def draw(
        self, image: np.ndarray, instances: InstanceData, smaller: float = 1.0
    ) -> tuple[np.ndarray, int]:
        """Draw instances on an image.

        Args:
            image: RGB, of shape (H, W, 3).
            instances: in pixels of it; what lies outside or has no area is left out.
            smaller: times the size that the picture has if there is room, a long side of about
                640 pixels.

        Returns:
            The picture, RGB, and how many boxes are on it.
        """
        height, width = image.shape[:2]
        scale = max(_LONG_SIDE / max(height, width), _SHORT_SIDE / min(height, width)) * smaller
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        cell = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        shown = _scaled(instances, scale, size)
        self.labels.clear()
        if len(shown):
            highest = int(shown.labels.max())
            classes = self.classes + [f'class {i}' for i in range(len(self.classes), highest + 1)]
            palette = self.palette if highest < len(self.palette) else None
            cell = self._draw_instances(cell, shown, classes, palette)
        return cell, len(shown)

    def draw_texts(self, texts: Any, positions: Any, font_sizes: Any = None, **kwargs: Any) -> Any:
        """Draw a box's label in one size: above the box, or else where it hides no other label."""
        x, y = (float(value) for value in positions)
        letter = _LETTERS * self.dpi / 72
        width, height = 0.62 * letter * len(texts), 1.25 * letter
        x = max(0.0, min(x, self.width - width))
        places = [y - height - 4, y, y - 2 * height - 4, y + height]
        places = [place for place in places if 0 <= place <= self.height - height] or [0.0]
        free = [place for place in places if not self._hides(x, place, width, height)]
        y = (free or places)[0]
        self.labels.append((x, y, width, height))
        drawn = super().draw_texts(texts, np.array([x, y]), font_sizes=_LETTERS, **kwargs)
        as_written(self.ax_save)
        return drawn

    def _hides(self, x: float, y: float, width: float, height: float) -> bool:
        return any(
            x < left + w and left < x + width and y < top + h and top < y + height
            for left, top, w, h in self.labels
        )


def _scaled(instances: InstanceData, scale: float, size: tuple[int, int]) -> InstanceData:
    """Return what is drawn of instances: boxes times ``scale``, inside the picture, not empty."""
    if 'bboxes' not in instances:
        return InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    boxes = torch.as_tensor(get_box_tensor(instances.bboxes)).cpu().float() * scale
    width, height = size
    limits = boxes.new_tensor([width, height, width, height]) - 1
    boxes = torch.minimum(boxes.clamp(min=0), limits)
    shown = InstanceData(bboxes=boxes, labels=torch.as_tensor(instances.labels).cpu())
    if 'scores' in instances:
        shown.scores = instances.scores.cpu()
    return shown[(boxes[:, 2:] > boxes[:, :2]).all(1)]
