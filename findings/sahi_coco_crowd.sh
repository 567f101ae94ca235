#!/usr/bin/env bash
# A COCO file that sahi has read loses its crowd regions: they come out as single objects.
#
# Tool:     sahi 0.12.8; its files read by pycocotools 2.0.11.
# Expected: sahi.utils.coco.Coco, which has a field iscrowd for each annotation, and slice_coco
#           keep iscrowd=1. COCO's metric then leaves out what is detected in a crowd region.
# Seen:     iscrowd is 0 everywhere behind reading, whether the region has a mask (COCO's crowds
#           have one in run lengths) or a box only; slices likewise. The log tells of the mask that
#           is skipped and not of the crowd. The same detections, perfect ones and some inside a
#           crowd, have AP 1.00 with the given file and 0.22 with the one that sahi wrote. The area
#           of an annotation without a polygon becomes that of its box, 2500 instead of 900 here, so
#           that it counts as medium and no longer as small.
# Who:      anybody who cuts a data set into slices with sahi, or edits one through its Coco class,
#           and measures with pycocotools or mmdet's CocoMetric, where COCO has crowd regions.
#           mmdet ignores crowd regions in training; from sahi's file it learns each as one object.
# Do:       take iscrowd and area over from the given file by the order of annotations where
#           images are whole. For training on slices leave crowd regions out before slicing; measure
#           on whole images.
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile "$@"; }
pip sahi==0.12.8 pycocotools==2.0.11

cd "$work"
"$work/venv/bin/python" -W ignore - 2> "$work/log" <<'PY' || { code=$?; cat "$work/log" >&2; exit $code; }
import contextlib
import io
import json
import sys

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sahi.slicing import slice_coco
from sahi.utils.coco import Coco

objects = [[10.0, 20.0, 50.0, 50.0], [120.0, 5.0, 60.0, 40.0]]
crowd = [10.0, 90.0, 180.0, 60.0]
mask = dict(size=[160, 200], counts=[0, 5, 31995])  # any valid run lengths


def annotation(number, box, area, iscrowd=0, segmentation=()):
    return dict(
        id=number,
        image_id=1,
        category_id=1,
        bbox=box,
        area=area,
        iscrowd=iscrowd,
        segmentation=segmentation or [],
    )


def average_precision(path):
    """AP at 0.5:0.95 of the objects' own boxes and of surer ones inside the crowd."""
    boxes = [(box, 0.8) for box in objects]
    boxes += [([20.0 + 40 * i, 100, 30, 40], 0.9) for i in range(4)]
    found = [dict(image_id=1, category_id=1, bbox=box, score=score) for box, score in boxes]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(path)
        run = COCOeval(truth, truth.loadRes(found), 'bbox')
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats[0]


Image.fromarray(np.zeros((160, 200, 3), np.uint8)).save('1.png')
for kind, region in (('a box', ()), ('a mask', mask)):
    given = dict(
        images=[dict(id=1, file_name='1.png', width=200, height=160)],
        categories=[dict(id=1, name='cell', supercategory='')],
        annotations=[
            annotation(1, objects[0], 900.0),
            annotation(2, objects[1], 2400.0),
            annotation(3, crowd, 10800.0, 1, region),
        ],
    )
    with open('given.json', 'w') as file:
        json.dump(given, file)
    back = Coco.from_coco_dict_or_path('given.json').json
    with open('back.json', 'w') as file:
        json.dump(back, file)
    slices, _ = slice_coco(
        'given.json', '.', 'slices', output_dir='slices', slice_height=160, slice_width=200
    )
    before, after = average_precision('given.json'), average_precision('back.json')
    crowds = [sum(a['iscrowd'] for a in data['annotations']) for data in (given, back, slices)]
    areas = [data['annotations'][0]['area'] for data in (given, back)]
    print(f'the crowd has {kind}: AP {before:.2f} and {after:.2f}')
    print(f'  crowd regions given, read and written, sliced: {crowds}; area of the first: {areas}')
    if before < 0.99 or crowds[0] != 1:
        sys.exit('OTHER: the given file is not what it should be')
    if crowds[1:] == [1, 1] and after == before:
        sys.exit('MENDED: the crowd region comes back as one')
    if crowds[1:] != [0, 0] or after > 0.5 or areas != [900.0, 2500]:
        sys.exit('OTHER: it comes back in another way')
print('STILL SO: a crowd region comes back as a single object')
PY
