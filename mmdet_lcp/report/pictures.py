"""Ground truth, dense and compressed detector side by side on test images: losses one can see."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmengine.structures import InstanceData
from PIL import Image
from torch import nn

from mmdet_lcp.datasets.label_names import label_meta
from mmdet_lcp.files import atomic_path
from mmdet_lcp.report.painter import Painter
from mmdet_lcp.report.seen_images import SeenImage, over_the_set, see

SCORE_THR = 0.3
NUM_IMAGES = 4
_CAPTION = 34
_MOST_BYTES = 1_000_000
_COLOURS = 256
_LEAST_SCALE = 0.5  # cells that are smaller can hardly be read: rows go first
_GAP = 6
# An RGB image (H, W, 3), and captions with what is drawn on it.
_Row = tuple[np.ndarray, list[tuple[str, InstanceData]]]


def detections_side_by_side(
    dense: nn.Module,
    compressed: nn.Module,
    dataset: Sequence,
    out_file: str | os.PathLike,
    before: str = 'dense',
    score_thr: float = SCORE_THR,
    num_images: int = NUM_IMAGES,
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
    seen = see(dense, compressed, dataset, over_the_set(dataset, num_images))
    meta = dataset_meta or label_meta(dataset) or getattr(dense, 'dataset_meta', None) or {}
    draw_side_by_side(seen, Painter(meta), out_file, before, score_thr)


def draw_side_by_side(
    seen: Sequence[SeenImage],
    painter: Painter,
    out_file: str | os.PathLike,
    before: str = 'dense',
    score_thr: float = SCORE_THR,
    after: str = 'compressed',
) -> None:
    """Write the picture of :func:`detections_side_by_side`, of images that were seen already."""
    rows: list[_Row] = []
    for one in seen:
        cells = [('ground truth', one.truth)]
        for name, found in ((before, one.dense), (after, one.compressed)):
            cells.append((f'{name}, score >= {score_thr:g}', found[found.scores >= score_thr]))
        rows.append((one.image, cells))
    encoded = _small_enough(painter, rows)
    with atomic_path(out_file) as temporary:
        temporary.write_bytes(encoded)


def _small_enough(painter: Painter, rows: list[_Row]) -> bytes:
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


def _picture(painter: Painter, rows: list[_Row], scale: float) -> np.ndarray:
    """All rows, RGB; cells scaled by ``scale`` from the size that they have if there is room."""
    drawn = []
    for image, cells in rows:
        parts = [_cell(painter, image, found, caption, scale) for caption, found in cells]
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


def _cell(
    painter: Painter, image: np.ndarray, instances: InstanceData, caption: str, scale: float
) -> np.ndarray:
    """An image with what is drawn on it, below a caption that counts the boxes."""
    cell, count = painter.draw(image, instances, scale)
    bar = np.full((_CAPTION, cell.shape[1], 3), 255, np.uint8)
    text = f'{caption}: {count} box{"" if count == 1 else "es"}'
    font, large, thick = cv2.FONT_HERSHEY_SIMPLEX, 0.75, 2
    needed = cv2.getTextSize(text, font, large, thick)[0][0]
    if needed > bar.shape[1] - 8:
        large, thick = large * max(0.3, (bar.shape[1] - 8) / needed), 1
    cv2.putText(bar, text, (4, 25), font, large, (0, 0, 0), thick, cv2.LINE_AA)
    return np.concatenate([bar, cell])


def _with_gaps(parts: list[np.ndarray], axis: int) -> list[np.ndarray]:
    """Put white strips between pictures that are joined along ``axis``."""
    shape = list(parts[0].shape)
    shape[axis] = _GAP
    strip = np.full(shape, 255, np.uint8)
    return [piece for part in parts for piece in (strip, part)][1:]
