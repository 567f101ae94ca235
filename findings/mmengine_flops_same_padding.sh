#!/usr/bin/env bash
# A convolution with padding='same' costs nothing, says the FLOP counter of mmdet's get_flops.py.
#
# Tools:    mmengine 0.10.7 (get_model_complexity_info, which mmdet's get_flops.py calls),
#           onedl-mmengine 0.10.12 (the same code), fvcore 0.1.5.post20221221 (its origin);
#           torch 2.13.0.
# Expected: Conv2d(16, 16, 3, padding='same') and Conv2d(16, 16, 3, padding=1) are the same
#           convolution on the same input: 16 * 16 * 9 * 32 * 32 = 2,359,296 multiply-adds both.
# Seen:     2,359,296 for padding=1, and 0 for padding='same'. The number of activations of the
#           layer is 0 too. The counters walk over TorchScript's operators and have a formula for
#           aten::_convolution alone; a padding given as a string is traced to another operator,
#           aten::_convolution_mode, which falls to "unsupported, counts as 0". One line of the
#           log names that operator, between those of additions and activations, which are
#           harmless; whoever switches these lines off sees nothing at all.
# Who:      anybody who reports GFLOPs, or chooses a pruned network by them: a detector whose
#           backbone was ported from Keras or writes padding='same' looks cheap, and pruning
#           these layers appears to gain nothing.
# Do:       write the padding as a number, or give the counter a formula for
#           aten::_convolution_mode (the last lines below do), or compare with torch's own
#           torch.utils.flop_counter.FlopCounterMode, which counts it right.
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile "$@"; }
pip torch==2.13.0
pip fvcore==0.1.5.post20221221 addict==2.4.0 yapf==0.43.0 rich==15.0.0 numpy==2.4.6 packaging==26.3
pip --no-deps mmengine==0.10.7
pip --no-deps --target "$work/onedl" onedl-mmengine==0.10.12

cat > "$work/show.py" <<'PY'
import logging
import sys
from math import prod

import mmengine
import torch
from mmengine.analysis import FlopAnalyzer, get_model_complexity_info
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

logging.disable(logging.CRITICAL)
image = torch.zeros(1, 16, 32, 32)
macs = 16 * 16 * 9 * 32 * 32
number = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1)).eval()
word = nn.Sequential(nn.Conv2d(16, 16, 3, padding='same')).eval()
word.load_state_dict(number.state_dict())
assert torch.equal(number(image), word(image))


def by_mmengine(model):
    found = get_model_complexity_info(model, (16, 32, 32), show_table=False, show_arch=False)
    return found['flops'], found['activations']


def by_fvcore(model):
    from fvcore.nn import FlopCountAnalysis

    return int(FlopCountAnalysis(model, image).total())


def by_torch(model):
    with FlopCounterMode(display=False) as counter:
        model(image)
    return counter.get_total_flops() // 2


def convolution(inputs, outputs):
    sizes = [value.type().sizes() for value in (inputs[1], outputs[0])]
    return prod(sizes[0]) * sizes[1][0] * prod(sizes[1][2:])


print('mmengine', mmengine.__version__, 'from', 'onedl' if 'onedl' in mmengine.__file__ else 'mmengine')
seen = {}
for name, model in (('padding=1', number), ("padding='same'", word)):
    seen[name] = [by_mmengine(model), by_torch(model)]
    if 'onedl' not in mmengine.__file__:
        seen[name].append(by_fvcore(model))
    print(f'  {name:15} flops, activations: {seen[name][0]}; torch: {seen[name][1]}', end='')
    print(f'; fvcore: {seen[name][2]}' if len(seen[name]) == 3 else '')
counter = FlopAnalyzer(word, (image,)).set_op_handle('aten::_convolution_mode', convolution)
print('  with a formula for aten::_convolution_mode:', int(counter.total()))

right = [(macs, 16 * 32 * 32), macs, macs]
wrong = [(0, 0), macs, 0]
if seen['padding=1'] != right[: len(seen['padding=1'])]:
    sys.exit('OTHER: the convolution with padding=1 is not counted as expected')
if seen["padding='same'"] != wrong[: len(seen["padding='same'"])]:
    sys.exit("MENDED: a convolution with padding='same' is counted now")
PY
"$work/venv/bin/python" "$work/show.py"
PYTHONPATH="$work/onedl" "$work/venv/bin/python" "$work/show.py"
echo 'STILL SO: padding="same" makes a convolution cost 0 multiply-adds'
