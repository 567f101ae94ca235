"""What COCO's evaluation finds on each image, kept: detections, and which of them are right.

COCO's mAP is not a mean over images, so its uncertainty needs the detections of each image. All
that its last step reads of them is a score, and for each threshold of IoU and range of areas
whether the detection is matched and whether it is left out; with these, other draws of the same
images are evaluated without matching again. Source: pycocotools, ``COCOeval.evaluateImg``.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.evaluation.metrics import coco_metric
from numpy.typing import NDArray

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import atomic_path, load_arrays

_PACKED = ('matched', 'ignored')


@dataclass
class ImageMatches:
    """An evaluation in COCO's way, image by image: N images, K classes, D detections.

    Detections are ordered by class, then by image, then by falling score.

    Attributes:
        images: ids, rising, (N,).
        classes: names, (K,).
        thresholds: of IoU, (T,).
        areas: names of the ranges of areas, (A,): ``'all'``, ``'small'``, ...
        max_detections: of a class on an image that count, rising, (M,).
        label: number of the class, (D,).
        image: number of the image, (D,).
        score: (D,), in [0, 1].
        boxes: x, y, width and height in pixels, (D, 4).
        matched: whether an object is found, (D, A, T).
        ignored: whether it does not count, (D, A, T).
        objects: that count, (K, A, N).
    """

    images: NDArray
    classes: NDArray
    thresholds: NDArray
    areas: NDArray
    max_detections: NDArray
    label: NDArray
    image: NDArray
    score: NDArray
    boxes: NDArray
    matched: NDArray
    ignored: NDArray
    objects: NDArray

    @classmethod
    def of(cls, evaluation: Any) -> 'ImageMatches':
        """Take them from a pycocotools ``COCOeval`` whose ``evaluate()`` has been called."""
        p = evaluation.params
        images, ranges, classes = list(p.imgIds), list(p.areaRngLbl), list(p.catIds)
        per_image = evaluation.evalImgs  # by class, range of areas and image
        objects = np.zeros((len(classes), len(ranges), len(images)), np.int32)
        found: list[tuple] = []
        for k in range(len(classes)):
            for i in range(len(images)):
                cells = [
                    per_image[(k * len(ranges) + a) * len(images) + i] for a in range(len(ranges))
                ]
                if cells[0] is None:  # neither objects nor detections
                    continue
                for a, cell in enumerate(cells):
                    objects[k, a, i] = np.count_nonzero(np.asarray(cell['gtIgnore']) == 0)
                ids = cells[0]['dtIds']
                if ids:
                    bits = [
                        np.stack([np.asarray(cell[key]) != 0 for cell in cells]).transpose(2, 0, 1)
                        for key in ('dtMatches', 'dtIgnore')
                    ]
                    boxes = [evaluation.cocoDt.anns[number]['bbox'] for number in ids]
                    found.append((k, i, cells[0]['dtScores'], boxes, *bits))
        counts = [len(entry[2]) for entry in found]
        shape = (0, len(ranges), len(p.iouThrs))

        def joined(column: int, empty: tuple[int, ...], kind: Any) -> NDArray:
            parts = [np.asarray(entry[column], kind) for entry in found]
            return np.concatenate(parts) if parts else np.zeros(empty, kind)

        return cls(
            images=np.asarray(images),
            classes=np.asarray([c['name'] for c in evaluation.cocoGt.loadCats(classes)], np.str_),
            thresholds=np.asarray(p.iouThrs, np.float64),
            areas=np.asarray(ranges, np.str_),
            max_detections=np.asarray(p.maxDets),
            label=np.repeat(np.asarray([e[0] for e in found], np.int16), counts),
            image=np.repeat(np.asarray([e[1] for e in found], np.int32), counts),
            score=joined(2, (0,), np.float32),
            boxes=joined(3, (0, 4), np.float32),
            matched=joined(4, shape, bool),
            ignored=joined(5, shape, bool),
            objects=objects,
        )

    def absent(self) -> tuple[str, ...]:
        """Classes without an object that counts: they have no precision."""
        every = self.objects[:, list(self.areas).index('all')].sum(axis=1)
        return tuple(str(name) for name in self.classes[every == 0])

    def save(self, path: str | os.PathLike) -> None:
        """Write them as ``.npz``, whole or not at all."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        bits = len(self.areas) * len(self.thresholds)
        for key in _PACKED:
            data[key] = np.packbits(data[key].reshape(len(self.score), bits), axis=1)
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, **data)

    @classmethod
    def load(cls, path: str | os.PathLike) -> 'ImageMatches':
        """Read what `save` wrote.

        Raises:
            CompressionError: the file is damaged, or no such file.
        """
        try:
            file = load_arrays(path)
            data = {field.name: file[field.name] for field in fields(cls)}
            shape = (len(data['score']), len(data['areas']), len(data['thresholds']))
            for key in _PACKED:
                bits = np.unpackbits(data[key], axis=1, count=shape[1] * shape[2])
                data[key] = bits.reshape(shape).astype(bool)
        except (CompressionError, KeyError, ValueError) as error:
            reason = str(error).removeprefix(f'{path} is damaged: ')
            raise CompressionError(
                f'{path} is damaged: {reason}. Delete it: the intervals of this run are then told '
                'to be not kept'
            ) from error
        return cls(**data)


@contextlib.contextmanager
def noted_matches() -> Iterator[list[ImageMatches]]:
    """Keep what mmdet's ``CocoMetric`` finds on each image while a detector is evaluated.

    Yields:
        One entry for each evaluation of boxes by class within; none of other metrics (VOC's), of
        ranks but the first, or with ``use_mp_eval``.
    """
    kept: list[ImageMatches] = []
    original = coco_metric.COCOeval

    class Noting(original):
        def evaluate(self) -> None:
            super().evaluate()
            if self.params.iouType == 'bbox' and self.params.useCats:
                kept.append(ImageMatches.of(self))

    coco_metric.COCOeval = Noting
    try:
        yield kept
    finally:
        coco_metric.COCOeval = original


def file_of(work_dir: str | os.PathLike, moment: str) -> Path:
    """Where a run keeps them.

    Args:
        work_dir: of the run.
        moment: ``'dense'``, ``'selected'`` (before the retraining) or ``'final'``.
    """
    return Path(work_dir) / 'detections' / f'{moment}.npz'
