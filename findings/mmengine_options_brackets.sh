#!/usr/bin/env bash
# --cfg-options of mmengine keeps a dict as a word, and recurses without end on a comma in brackets.
#
# Tools:    mmengine 0.10.7 (DictAction, which parses --cfg-options of every OpenMMLab tool),
#           onedl-mmengine 0.10.12 (the same code); torch 2.13.0, which both import.
# Expected: a value is read as its docstring says ("nested brackets to build list/tuple values"), or
#           refused by argparse. `optim_wrapper.clip_grad=dict(max_norm=10)` gives a dict, as it
#           would in the config.
# Seen:     - dict(max_norm=10) and {'max_norm':10} are kept as the strings they are written as,
#             without a word; what reads the key later fails far away, or takes the string.
#           - a list of dicts of one key each is a list of strings: [dict(type='A')] gives
#             ["dict(type='A')"].
#           - with a comma inside brackets that are not the outermost pair the parser calls itself
#             with the same text until Python stops it: RecursionError. Lists of dicts of two keys do
#             that, and so does a regular expression like ^stage[1,2].
#           - (backbone|neck), a regular expression, loses its parentheses: ('backbone|neck',).
# Who:      anybody who sets a scheduler, clip_grad, hooks or a pattern of layers from a shell or a
#           job script, with any tool of OpenMMLab.
# Do:       give single keys (optim_wrapper.clip_grad.max_norm=10), write lists of dicts into a
#           config that inherits the other, and avoid commas in brackets of patterns ([12]).
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile "$@"; }
pip torch==2.13.0
pip addict==2.4.0 yapf==0.43.0 rich==15.0.0 numpy==2.4.6 packaging==26.3 termcolor==3.3.0 pyyaml==6.0.3
pip --no-deps opencv-python-headless==5.0.0.93
pip --no-deps --target "$work/mmengine" mmengine==0.10.7
pip --no-deps --target "$work/onedl" onedl-mmengine==0.10.12

cat > "$work/show.py" <<'PY'
import argparse
import sys

import mmengine
from mmengine.config import DictAction


def read(pair):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    try:
        return parser.parse_args(['--cfg-options', pair]).cfg_options[pair.split('=')[0]]
    except RecursionError:
        return 'RecursionError'


print('mmengine', mmengine.__version__)
seen = {}
for pair in (
    'clip_grad=dict(max_norm=10)',
    "clip_grad={'max_norm':10}",
    "param_scheduler=[dict(type='LinearLR')]",
    "param_scheduler=[dict(type='LinearLR',end=500)]",
    'layers=^stage[1,2]',
    'layers=(backbone|neck)',
):
    seen[pair] = read(pair)
    print(f'  {pair:52} -> {seen[pair]!r}')
if read('lr=0.1') != 0.1 or read('a=[(1,2),(3,4)]') != [(1, 2), (3, 4)]:
    sys.exit('OTHER: numbers and nested lists are not read as expected')
if list(seen.values()) != [
    'dict(max_norm=10)',
    "{'max_norm':10}",
    ["dict(type='LinearLR')"],
    'RecursionError',
    'RecursionError',
    ('backbone|neck',),
]:
    sys.exit('MENDED: one of these is read otherwise now')
PY
for which in mmengine onedl; do
    PYTHONPATH="$work/$which" "$work/venv/bin/python" -W ignore "$work/show.py"
done
echo 'STILL SO: dicts are kept as words, and a comma in inner brackets ends in a RecursionError'
