#!/usr/bin/env bash
# With mmdet's limits of detections, faster-coco-eval and hotcoco give another AP than pycocotools.
#
# Tool:     pycocotools 2.0.11, faster-coco-eval 1.8.0, hotcoco 1.3.0.
# Expected: the two fast evaluators are drop-in replacements, equal to pycocotools in every figure
#           for any `params.maxDets`; and one row of figures is about the same detections.
# Seen:     an image with 150 objects, every one found exactly, maxDets = [100, 300, 1000], which
#           is what mmdet's CocoMetric sets. pycocotools: AP 0.663 beside AP50 1.0 and AP75 1.0. Its
#           summary takes the AP at 100 detections, whatever the list says, and AP50, AP75 and the
#           sizes at the last entry. The other two take the AP at the last entry as well: 1.0.
#           With [1, 10, 300], no 100 in the list, pycocotools gives -1 for the AP and 1.0 for AP50.
#           With COCO's own [1, 10, 100] all three agree.
# Who:      whoever counts cells, people or cars from above with more than 100 objects in an image:
#           the AP has a ceiling that AP50 has not, and changes by up to a third when the evaluator
#           of the same pipeline is exchanged for its faster twin.
# Do:       compare APs of one evaluator only; for crowded images set maxDets and the summary
#           yourself, or read AP from `eval['precision'][..., -1]`.
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile \
    pycocotools==2.0.11 faster-coco-eval==1.8.0 hotcoco==1.3.0 numpy==2.2.6

cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import contextlib
import io
import json
import sys

import faster_coco_eval
import hotcoco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

boxes = [[20.0 * (n % 15), 20.0 * (n // 15), 12.0, 12.0] for n in range(150)]
truth = dict(
    images=[dict(id=1, width=400, height=400, file_name='1.jpg')],
    categories=[dict(id=1, name='cell')],
    annotations=[
        dict(id=n + 1, image_id=1, category_id=1, bbox=box, area=144.0, iscrowd=0)
        for n, box in enumerate(boxes)
    ],
)
found = [
    dict(image_id=1, category_id=1, bbox=box, score=0.99 - 0.001 * n)
    for n, box in enumerate(boxes)
]
for name, content in (('truth.json', truth), ('found.json', found)):
    with open(name, 'w') as file:
        json.dump(content, file)

EVALUATORS = {
    'pycocotools': (COCO, COCOeval),
    'faster-coco-eval': (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
    'hotcoco': (hotcoco.COCO, hotcoco.COCOeval),
}


def ap_and_ap50(name, limits):
    data, evaluator = EVALUATORS[name]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        coco = data('truth.json')
        read = getattr(coco, 'loadRes', None) or coco.load_res
        evaluation = evaluator(coco, read('found.json'), 'bbox')
        evaluation.params.maxDets = limits
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [round(float(value), 3) for value in list(evaluation.stats)[:2]]


seen = {}
for limits in ([1, 10, 100], [100, 300, 1000], [1, 10, 300]):
    for name in EVALUATORS:
        seen[name, limits[2], limits[0]] = figures = ap_and_ap50(name, limits)
        print(f'{name:16s} maxDets {limits}: AP {figures[0]}, AP50 {figures[1]}')

by_hand = 0.663  # recall 100 of 150: precision 1 at 67 of the 101 points of recall
if any(seen[name, 100, 1] != [by_hand, by_hand] for name in EVALUATORS):
    print('OTHER: at 100 detections the three no longer agree with 67/101')
    sys.exit(2)
fast = [seen[name, limit, first][0] for name in list(EVALUATORS)[1:]
        for limit, first in ((1000, 100), (300, 1))]
if any(ap != 1.0 for ap in fast):
    print('MENDED: the fast evaluators no longer count all detections')
    sys.exit(1)
if seen['pycocotools', 1000, 100] != [by_hand, 1.0] or seen['pycocotools', 300, 1] != [-1.0, 1.0]:
    print('MENDED: pycocotools takes AP and AP50 at the same number of detections')
    sys.exit(1)
print('As described: one row of pycocotools mixes 100 and 1000 detections, its twins do not.')
PY
