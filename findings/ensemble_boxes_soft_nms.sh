#!/usr/bin/env bash
# soft_nms of ensemble-boxes decays nothing: it returns the scores from before.
#
# Tool:     ensemble-boxes 1.0.9.
# Expected: Soft-NMS lowers the score of a box by its overlap with better ones (times
#           exp(-IoU^2 / sigma) for the Gaussian, times 1 - IoU for the linear kind). That is
#           the whole method: the lowered score is the output.
# Seen:     the lowered scores serve to put the boxes in order and to drop those below
#           `thresh`. Returned are the scores that went in. Two boxes of IoU 0.82 come back as
#           0.9 and 0.8, in place of 0.9 and 0.16 (Gaussian, sigma 0.5, with a third box of 0.7
#           between them): the order of the list and the scores contradict each other.
# Who:      whoever fuses detectors, or replaces a detector's NMS by it. COCO's and VOC's AP
#           sort by score, so the evaluation sees every duplicate at its full score, as if there
#           had been no NMS, and Soft-NMS seems not to help.
# Do:       mmcv.ops.soft_nms, which returns the decayed scores, or recompute them. Sorting the
#           result by score, as savers and viewers do, loses the order as well.
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile \
    ensemble-boxes==1.0.9 numba==0.61.2 numpy==2.2.6 pandas==2.3.3

"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
from ensemble_boxes import soft_nms

boxes = np.array([[0.0, 0.0, 0.4, 0.4], [0.02, 0.02, 0.42, 0.42], [0.2, 0.0, 0.6, 0.4]])
scores = np.array([0.9, 0.8, 0.7])
sigma = 0.5


def iou(a, b):
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(width, 0) * max(height, 0)
    return both / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - both)


def by_hand(decay):
    """Soft-NMS as its paper writes it: pick the best, lower the rest, repeat."""
    rest, left, picked = list(range(len(boxes))), scores.copy(), []
    while rest:
        best = max(rest, key=lambda i: left[i])
        rest.remove(best)
        picked.append((best, round(float(left[best]), 3)))
        for i in rest:
            left[i] *= decay(iou(boxes[best], boxes[i]))
    return picked


def by_package(method):
    found, kept, _ = soft_nms(
        [boxes.tolist()], [scores.tolist()], [[0, 0, 0]],
        iou_thr=0.5, sigma=sigma, thresh=0.001, method=method,
    )  # fmt: skip
    index = [int(np.abs(boxes - box).sum(1).argmin()) for box in found]
    return [(i, round(float(score), 3)) for i, score in zip(index, kept, strict=True)]


kinds = dict(
    linear=(1, lambda x: 1 - x if x > 0.5 else 1),
    gaussian=(2, lambda x: np.exp(-(x**2) / sigma)),
)
mended = False
print('(box, score) in the order returned')
for name, (method, decay) in kinds.items():
    right, seen = by_hand(decay), by_package(method)
    print(f'{name:9} by hand {right}\n{"":9} package {seen}')
    if [i for i, _ in right] != [i for i, _ in seen]:
        sys.exit('OTHER: not even the order agrees')
    mended |= any(score != scores[i] for i, score in seen)
if mended:
    sys.exit('MENDED: soft_nms returns lowered scores')
print('STILL SO: soft_nms returns the scores that went in')
PY
