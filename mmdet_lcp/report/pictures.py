"""Ground truth, dense and compressed detector side by side on test images: losses one can see."""

from __future__ import annotations

import copy
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmdet.visualization import DetLocalVisualizer
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from PIL import Image
from torch import Tensor, nn

from mmdet_lcp.datasets.label_names import label_meta
from mmdet_lcp.datasets.object_labels import object_labels
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import atomic_path
from mmdet_lcp.measure.one_image import evaluating
from mmdet_lcp.report.figures import as_written

_LONG_SIDE = 640
_SHORT_SIDE = 300
_LETTERS = 11  # font size; mmdet shrinks the labels of small boxes below what can be read
_CAPTION = 34
_MOST_BYTES = 1_000_000
_COLOURS = 256
_LEAST_SCALE = 0.5  # cells that are smaller can hardly be read: rows go first
_LOOKED_AT = 200  # images of each part of the set, for one with objects
_GAP = 6
# An RGB image (H, W, 3), and captions with what is drawn on it.
_Row = tuple[np.ndarray, list[tuple[str, InstanceData]]]


def detections_side_by_side(
    dense: nn.Module,
    compressed: nn.Module,
    dataset: Sequence,
    out_file: str | os.PathLike,
    before: str = 'dense',
    score_thr: float = 0.3,
    num_images: int = 4,
    dataset_meta: dict[str, Any] | None = None,
) -> None:
    """Draw what both detectors find on images of a test set.

    The images lie evenly over the set, and have objects if there are such. One row an image; the
    columns are the ground truth, the dense and the compressed detector. Each cell is the image
    scaled to a long side of about 640 pixels, the short side never below 300; where the file
    would have more than 1 MB, it gets 256 colours and smaller cells, then fewer rows. The PNG is
    written whole or not at all. The detectors' modes are left as they were.

    Args:
        dense: An mmdet detector.
        compressed: Another one for the same classes.
        dataset: A dataset with a test pipeline, whose items are dicts of ``inputs`` (uint8 BGR
            tensor of shape (3, H, W)) and ``data_samples``; or a list of such dicts or of
            (inputs, data_sample) pairs. As in mmdet's test pipelines, ground-truth boxes are in
            pixels of the original image.
        out_file: The picture.
        before: What the first detector is called.
        score_thr: Detections scoring less are not drawn, 0 to 1.
        num_images: How many rows at most, at least 1.
        dataset_meta: ``classes`` and ``palette`` by label; those of the data set or else of the
            dense detector unless given.

    Raises:
        CompressionError: The data set is empty, or ``num_images`` is below 1.
    """
    if num_images < 1:
        raise CompressionError(f'a picture needs at least one image, not {num_images}.')
    if len(dataset) == 0:
        raise CompressionError(
            'the test data set is empty, so there is nothing to draw; check ann_file and '
            'data_prefix of test_dataloader.dataset.'
        )
    meta = dataset_meta or label_meta(dataset)
    painter = _Painter(meta or getattr(dense, 'dataset_meta', None) or {})
    rows: list[_Row] = []
    with evaluating(dense, compressed):
        for inputs, sample in _items(dataset, num_images):
            truth = sample.gt_instances if 'gt_instances' in sample else InstanceData()
            cells = [('ground truth', truth)]
            for name, detector in ((before, dense), ('compressed', compressed)):
                found = _detect(detector, inputs, sample)
                caption = f'{name}, score >= {score_thr:g}'
                cells.append((caption, found[found.scores >= score_thr]))
            rows.append((_original_image(inputs, sample), cells))
    encoded = _small_enough(painter, rows)
    with atomic_path(out_file) as temporary:
        temporary.write_bytes(encoded)


def _small_enough(painter: _Painter, rows: list[_Row]) -> bytes:
    """A PNG of the rows that has at most 1 MB."""
    scale, colours = 1.0, None
    while True:
        encoded = _png(_picture(painter, rows, scale), colours)
        size = len(encoded)
        if size <= _MOST_BYTES:
            return encoded
        if colours is None:
            colours = _COLOURS
        elif scale > _LEAST_SCALE or len(rows) == 1:
            scale *= 0.95 * min(0.95, (_MOST_BYTES / size) ** 0.5)
            scale = scale if len(rows) == 1 else max(_LEAST_SCALE, scale)
        else:
            rows = rows[:-1]


def _picture(painter: _Painter, rows: list[_Row], scale: float) -> np.ndarray:
    """All rows, RGB; cells scaled by ``scale`` from the size that they have if there is room."""
    drawn = []
    for image, cells in rows:
        parts = [painter.draw(image, found, caption, scale) for caption, found in cells]
        drawn.append(np.concatenate(_with_gaps(parts, axis=1), axis=1))
    width = max(row.shape[1] for row in drawn)
    drawn = [
        cv2.copyMakeBorder(
            row, 0, 0, 0, width - row.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255)
        )
        for row in drawn
    ]
    return np.concatenate(_with_gaps(drawn, axis=0), axis=0)


def _png(picture: np.ndarray, colours: int | None) -> bytes:
    """Encode an RGB picture, in all of its colours or in so many."""
    if colours is None:
        return cv2.imencode('.png', picture[..., ::-1])[1].tobytes()
    file = io.BytesIO()
    few = Image.fromarray(picture).quantize(colours, dither=Image.Dither.NONE)
    few.save(file, 'PNG')
    return file.getvalue()


class _Painter(DetLocalVisualizer):
    """mmdet's visualizer with labels that can be read on small boxes and stay in the picture."""

    def __init__(self, meta: dict[str, Any], name: str = 'detections') -> None:
        with warnings.catch_warnings():  # it keeps no files, and warns that it cannot
            warnings.simplefilter('ignore')
            super().__init__(name, line_width=2, text_color=(255, 255, 255))
        self.classes = list(meta.get('classes') or [])
        self.palette = [tuple(color) for color in meta.get('palette') or []]
        self.labels: list[tuple[float, float, float, float]] = []  # x, y, width, height

    def draw(
        self, image: np.ndarray, instances: InstanceData, caption: str, smaller: float = 1.0
    ) -> np.ndarray:
        """Draw instances given in pixels of an RGB image of shape (H, W, 3), and a caption."""
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
        bar = np.full((_CAPTION, cell.shape[1], 3), 255, np.uint8)
        text = f'{caption}: {len(shown)} box{"" if len(shown) == 1 else "es"}'
        font, large, thick = cv2.FONT_HERSHEY_SIMPLEX, 0.75, 2
        needed = cv2.getTextSize(text, font, large, thick)[0][0]
        if needed > bar.shape[1] - 8:
            large, thick = large * max(0.3, (bar.shape[1] - 8) / needed), 1
        cv2.putText(bar, text, (4, 25), font, large, (0, 0, 0), thick, cv2.LINE_AA)
        return np.concatenate([bar, cell])

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


def _items(dataset: Sequence, number: int) -> Iterator[tuple[Tensor, DetDataSample]]:
    for index in _over_the_set(dataset, number):
        item = dataset[index]
        inputs, sample = (item['inputs'], item['data_samples']) if isinstance(item, dict) else item
        yield inputs, sample


def _over_the_set(dataset: Sequence, number: int) -> list[int]:
    """One image of each of so many equal parts of a data set: its middle one with objects."""
    count = len(dataset)
    if count <= number:
        return list(range(count))
    chosen = []
    for part in range(number):
        first, end = part * count // number, (part + 1) * count // number
        middle = (first + end) // 2
        around = sorted(range(first, end), key=lambda index: abs(index - middle))[:_LOOKED_AT]
        chosen.append(next((i for i in around if object_labels(dataset, i)), middle))
    return chosen


def _detect(detector: nn.Module, inputs: Tensor, sample: DetDataSample) -> InstanceData:
    """Return one image's detections, in pixels of the original image, on the CPU."""
    batch = pseudo_collate([dict(inputs=inputs, data_samples=copy.deepcopy(sample))])
    return detector.test_step(batch)[0].pred_instances.cpu()


def _original_image(inputs: Tensor, sample: DetDataSample) -> np.ndarray:
    """Return the image in its original size as RGB, from its file or from what was packed."""
    ori_shape = tuple(sample.metainfo.get('ori_shape', inputs.shape[1:]))[:2]
    path = sample.metainfo.get('img_path')
    if path and Path(path).is_file():
        image = mmcv.imread(path, channel_order='rgb')
        if image is not None and image.shape[:2] == ori_shape:
            return image
    shown = inputs[[min(channel, len(inputs) - 1) for channel in range(3)]].float()  # grey as grey
    if shown.max() > 255:  # more than 8 bits
        shown = shown * (255 / shown.max())
    image = shown.permute(1, 2, 0).clamp(0, 255).to(torch.uint8).cpu().numpy()[..., ::-1]
    scale = sample.metainfo.get('scale_factor')
    if scale is not None:  # what the pipeline padded lies to the right and below
        image = image[: round(ori_shape[0] * scale[1]), : round(ori_shape[1] * scale[0])]
    return cv2.resize(np.ascontiguousarray(image), ori_shape[::-1])


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


def _with_gaps(parts: list[np.ndarray], axis: int) -> list[np.ndarray]:
    """Put white strips between pictures that are joined along ``axis``."""
    shape = list(parts[0].shape)
    shape[axis] = _GAP
    strip = np.full(shape, 255, np.uint8)
    return [piece for part in parts for piece in (strip, part)][1:]
