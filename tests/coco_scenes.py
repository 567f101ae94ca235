"""Objects and detections in COCO's format, drawn at random, and sets that repeat their images."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

CLASSES = ('dot', 'bar', 'ring')


def scenes(num_images: int = 9, seed: int = 0, crowds: bool = True) -> tuple[dict, list[dict]]:
    """A data set of all sizes of objects, some of them crowds, and detections of it.

    Half of the detections lie near objects; scores are different on each image.
    """
    draw = np.random.default_rng(seed)
    images = [dict(id=10 + 3 * i, width=400, height=400) for i in range(num_images)]
    data: dict[str, Any] = dict(
        images=images,
        categories=[dict(id=7 - k, name=name) for k, name in enumerate(CLASSES)],
        annotations=[],
    )
    found = []
    for image in images:
        for _ in range(int(draw.integers(2, 9))):
            w, h = draw.choice([12, 60, 150], 2) * draw.uniform(0.7, 1.3, 2)
            box = [*draw.uniform(0, 200, 2), w, h]
            kind = int(draw.integers(5, 8))
            data['annotations'].append(
                dict(
                    id=len(data['annotations']) + 1,
                    image_id=image['id'],
                    category_id=kind,
                    bbox=box,
                    area=w * h,
                    iscrowd=int(crowds and draw.random() < 0.1),
                )
            )
            for _ in range(2):
                near = box if draw.random() < 0.6 else [*draw.uniform(0, 200, 2), w, h]
                shift = draw.normal(0, 0.06, 4) * [w, h, w, h]
                found.append(
                    dict(
                        image_id=image['id'],
                        category_id=kind,
                        bbox=(np.asarray(near) + shift).tolist(),
                        score=float(np.float32(draw.beta(4, 2))),
                    )
                )
    return data, found


def repeated(data: dict, found: Sequence[dict], times: Sequence[int]) -> tuple[dict, list[dict]]:
    """The same with each image so many times, as images of their own, one beside the other."""
    more: dict[str, Any] = dict(images=[], categories=data['categories'], annotations=[])
    detections = []
    for image, count in zip(data['images'], times, strict=True):
        for _ in range(count):
            number = len(more['images']) + 1
            more['images'].append({**image, 'id': number})
            for item in data['annotations']:
                if item['image_id'] == image['id']:
                    own = dict(id=len(more['annotations']) + 1, image_id=number)
                    more['annotations'].append({**item, **own})
            detections += [
                {**item, 'image_id': number} for item in found if item['image_id'] == image['id']
            ]
    return more, detections


def evaluated(
    data: dict, found: Sequence[dict], most: Sequence[int] = (100, 300, 1000)
) -> COCOeval:
    """What pycocotools makes of it; ``stats`` holds its summary."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = data
        truth.createIndex()
        plain = [{k: d[k] for k in ('image_id', 'category_id', 'bbox', 'score')} for d in found]
        evaluation = COCOeval(truth, truth.loadRes(plain), 'bbox')
        evaluation.params.maxDets = list(most)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation
