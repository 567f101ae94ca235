"""Detections as single pictures in the work_dir, from which a page is made whenever it is asked.

``pictures/`` holds a JPEG of each image for ground truth, detector before and compressed one, and
``pictures.json``, which says what they show.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from mmengine.structures import InstanceData

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import atomic_path, read_json, write_json
from mmdet_lcp.report.painter import Painter
from mmdet_lcp.report.pictures import SCORE_THR
from mmdet_lcp.report.seen_images import SeenImage

FOLDER = 'pictures'
INDEX = 'pictures.json'
_QUALITY = 80


@dataclass(frozen=True)
class StoredPicture:
    """Three pictures of one image.

    Attributes:
        truth: file of the ground truth's, in the same folder, ...
        dense: ... of the detector before, ...
        compressed: ... and of the compressed one.
        boxes: how many boxes are drawn on each of them.
        remark: as in `SeenImage`: not '' for images on which compression has cost most.
        score_thr: detections that score less are not drawn.
    """

    truth: str
    dense: str
    compressed: str
    boxes: list[int]
    remark: str
    score_thr: float


def store_pictures(
    seen: Sequence[SeenImage],
    painter: Painter,
    work_dir: str | os.PathLike,
    score_thr: float = SCORE_THR,
) -> None:
    """Write the folder; pictures of an earlier call are replaced.

    Args:
        seen: the images.
        painter: draws them.
        work_dir: of the run.
        score_thr: detections that score less are left out, 0 to 1.
    """
    folder = Path(work_dir, FOLDER)
    stored = []
    for number, one in enumerate(seen):
        files, boxes = {}, []
        for kind, found in (
            ('truth', one.truth),
            ('dense', _sure(one.dense, score_thr)),
            ('compressed', _sure(one.compressed, score_thr)),
        ):
            picture, count = painter.draw(one.image, found)
            files[kind] = f'{number:02d}_{kind}.jpg'
            boxes.append(count)
            with atomic_path(folder / files[kind]) as temporary:
                temporary.write_bytes(_jpeg(picture))
        stored.append(StoredPicture(**files, boxes=boxes, remark=one.remark, score_thr=score_thr))
    write_json(folder / INDEX, {'pictures': [asdict(one) for one in stored]})


def read_pictures(work_dir: str | os.PathLike) -> list[StoredPicture]:
    """What `store_pictures` has written; nothing where it has not, or where files are gone.

    Raises:
        CompressionError: the index is damaged.
    """
    path = Path(work_dir, FOLDER, INDEX)
    if not path.exists():
        return []
    try:
        stored = [StoredPicture(**row) for row in read_json(path)['pictures']]
    except (KeyError, TypeError, ValueError) as error:
        raise CompressionError(f'{path} is damaged: {error}. Delete {path.parent}.') from error
    files = [(path.with_name(name) for name in (p.truth, p.dense, p.compressed)) for p in stored]
    return [p for p, names in zip(stored, files, strict=True) if all(n.is_file() for n in names)]


def _sure(found: InstanceData, score_thr: float) -> InstanceData:
    return found[found.scores >= score_thr]


def _jpeg(picture: np.ndarray) -> bytes:
    """Encode an RGB picture."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return cv2.imencode('.jpg', picture[..., ::-1], quality)[1].tobytes()
