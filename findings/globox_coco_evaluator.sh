#!/usr/bin/env bash
# globox's "COCO Evaluation" knows neither crowds nor the area of an annotation.
#
# Tool:     globox 2.9.0 (COCOEvaluator), against pycocotools 2.0.11.
# Expected: both read the same COCO file and print the same twelve figures; on plain data, where
#           nothing is a crowd and area is width * height, they do, to the last digit.
# Seen:     1. An annotation with iscrowd = 1 is an object like any other: it has to be found
#           (and is counted as missed), and a detection inside the crowd is a false positive.
#           One object found and one crowd with two detections in it: AP 1.0 by pycocotools,
#           0.25 by globox.
#           2. The area ranges go by width * height of the box, not by the field "area", which
#           in COCO is the area of the mask. An object of 40 x 40 with area 500 is small for
#           COCO; globox calls it medium: AP_small of 1.0 turns into "no such object".
# Who:      whoever takes globox as a light way to COCO figures. COCO's val2017 has about 450
#           crowds, and a box is never smaller than its mask: AP of small, medium and large
#           objects all move, and cannot be set beside published ones.
# Do:       pycocotools, faster-coco-eval 1.8.0, hotcoco 1.3.0 or supervision 0.31.2, which agree
#           on both. Use globox's evaluator for box data without crowds only.
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile \
    globox==2.9.0 pycocotools==2.0.11 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
import contextlib
import io
import json
import sys

from globox import AnnotationSet, COCOEvaluator
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def annotation(identity, box, area=None, iscrowd=0):
    x, y, w, h = box
    return dict(
        id=identity, image_id=1, category_id=1, bbox=box, iscrowd=iscrowd,
        area=w * h if area is None else area,
        segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
    )  # fmt: skip


def figures(annotations, detections):
    """Return AP, AP of small and AP of medium objects by both evaluators."""
    truth = dict(
        images=[dict(id=1, width=640, height=480, file_name='1.jpg')],
        categories=[dict(id=1, name='thing')],
        annotations=annotations,
    )
    found = [
        dict(image_id=1, category_id=1, bbox=box, score=score) for box, score in detections
    ]
    for name, content in (('truth.json', truth), ('found.json', found)):
        with open(name, 'w') as file:
            json.dump(content, file)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        coco = COCO('truth.json')
        evaluation = COCOeval(coco, coco.loadRes('found.json'), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        truth = AnnotationSet.from_coco('truth.json')
        other = COCOEvaluator(ground_truths=truth, predictions=truth.from_results('found.json'))
        globox = other.ap(), other.ap_small(), other.ap_medium()
    pycocotools = evaluation.stats[0], evaluation.stats[3], evaluation.stats[4]
    return [round(float(x), 3) for x in pycocotools], [round(float(x), 3) for x in globox]


found = [10, 10, 40, 40]
inside = [[210, 110, 40, 40], [300, 150, 40, 40]]
cases = dict(
    plain=figures([annotation(1, found)], [(found, 0.9)]),
    crowd=figures(
        [annotation(1, found), annotation(2, [200, 100, 200, 150], iscrowd=1)],
        [(inside[0], 0.95), (found, 0.9), (inside[1], 0.5)],
    ),
    area=figures([annotation(1, found, area=500)], [(found, 0.9)]),
)
print(f'{"":6} AP, AP small, AP medium (-1 and nan: no such object)')
for name, (pycocotools, globox) in cases.items():
    print(f'{name:6} pycocotools {pycocotools}   globox {globox}')

if cases['plain'][0][0] != 1 or cases['plain'][1][0] != 1:
    sys.exit('OTHER: the evaluators differ on plain data already')
if cases['crowd'][0][0] != 1 or cases['area'][0][1] != 1:
    sys.exit('OTHER: pycocotools is another')
if cases['crowd'][1][0] > 0.99 or cases['area'][1][1] > 0.99:
    sys.exit('MENDED: globox heeds iscrowd or area now')
print('STILL SO: globox counts crowds as objects and sorts sizes by the box')
PY
