#!/usr/bin/env bash
# A COCO file that goes through pylabel and back gains a box for each image without objects, and
# an annotation with id 0, which pycocotools never counts as found.
#
# Tool:     pylabel 0.1.55 with pandas 2.2.3 (with pandas 3 ImportCoco raises a TypeError); read
#           by pycocotools 2.0.11.
# Expected: importer.ImportCoco followed by export.ExportToCoco gives the same images, boxes and
#           categories; ids of annotations may be new. Detections that are the boxes themselves
#           have AP 1.0 before and after.
# Seen:     images, categories and their ids are the same. But for an image that has no object the
#           annotation before it in the file is written a second time, with the same id, and
#           annotations are numbered from 0. COCOeval keeps the id of the box that a detection has
#           found, 0 being "none": the box with id 0 makes its detection a false one. The same
#           perfect detections then have AP 0.34.
# Who:      anybody who converts a data set with pylabel, from YOLO too, and measures with
#           pycocotools or mmdet's CocoMetric: images without objects are usual in surveillance and
#           wildlife data. (mmdet's CocoDataset refuses ids that come twice; with the copies taken
#           out the id 0 is still there.)
# Do:       number the annotations anew from 1 behind the export and drop repeated ids; or convert
#           with another tool and compare the number of annotations before and after.
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile "$@"; }
pip pylabel==0.1.55 pandas==2.2.3 numpy==2.2.6 pycocotools==2.0.11

cd "$work"
"$work/venv/bin/python" -W ignore - 2> "$work/log" <<'PY' || { code=$?; cat "$work/log" >&2; exit $code; }
import contextlib
import io
import json
import sys

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pylabel import importer

images = [dict(id=i, file_name=f'{i}.jpg', width=100, height=80) for i in (10, 20, 30)]
boxes = {1: (10, [10.0, 20.0, 30.0, 40.0]), 2: (10, [50.0, 5.0, 20.0, 20.0])}
boxes[3] = (30, [60.0, 30.0, 25.0, 35.0])
given = dict(
    images=images,
    categories=[dict(id=1, name='cell', supercategory='')],
    annotations=[
        dict(
            id=number,
            image_id=image,
            category_id=1,
            bbox=box,
            area=box[2] * box[3],
            iscrowd=0,
            segmentation=[],
        )
        for number, (image, box) in boxes.items()
    ],
)
with open('given.json', 'w') as file:
    json.dump(given, file)
data = importer.ImportCoco('given.json', path_to_images='.', name='data')
data.export.ExportToCoco('back.json')


def average_precision(path):
    """AP at 0.5:0.95 of detections that are the given boxes."""
    found = [
        dict(image_id=image, category_id=1, bbox=box, score=0.9) for image, box in boxes.values()
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(path)
        run = COCOeval(truth, truth.loadRes(found), 'bbox')
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats[0]


with open('back.json') as file:
    back = json.load(file)
for name, coco in (('given', given), ('back', back)):
    shown = [(one['id'], one['image_id'], one['bbox']) for one in coco['annotations']]
    print(f'{name}: {len(coco["images"])} images, annotations (id, image, box):')
    print(*(f'  {one}' for one in shown), sep='\n')
before, after = average_precision('given.json'), average_precision('back.json')
print(f'AP of the given boxes as detections: {before:.2f} before, {after:.2f} after')
if [image['id'] for image in back['images']] != [10, 20, 30] or before != 1:
    sys.exit('OTHER: images are not the same, or the given file is not what it should be')
if len(back['annotations']) == len(given['annotations']) and after == 1:
    sys.exit('MENDED: the same boxes come back, and are found')
if len(back['annotations']) != 4 or min(one['id'] for one in back['annotations']) != 0:
    sys.exit('OTHER: it comes back in another way')
print('STILL SO: a box more for the image without objects, and an id of 0 that is never found')
PY
