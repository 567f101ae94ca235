#!/usr/bin/env bash
# MNN's converter reads auto_pad SAME_LOWER as SAME_UPPER: every such layer is shifted by a pixel.
#
# Tool:     MNN 3.6.1 (converter and runtime), against onnxruntime 1.31.1; onnx 1.23.2.
# Expected: SAME_LOWER puts the odd row and column of padding before the image, SAME_UPPER
#           behind it. A 3x3 convolution of stride 2 that copies the pixel under its centre then
#           takes the even pixels 0, 2, 4, 6 with SAME_LOWER, and 1, 3, 5, 7 with SAME_UPPER.
# Seen:     MNN takes 1, 3, 5, 7 for both; the conversion says "Converted Success!". Pooling
#           and transposed convolutions do the same.
# Who:      whoever brings a YOLO from Darknet to a phone: the usual converters to ONNX write
#           auto_pad = SAME_LOWER for every convolution, and the five of stride 2 and even
#           input are those where it counts. Features move by a pixel at each, so by up to 31
#           pixels of the image together: the detector still finds things, with worse boxes.
#           Nothing is seen on odd sizes, where the padding is the same on both sides.
# Do:       replace auto_pad by explicit pads before conversion (MNN reads those right, last
#           line below), and compare outputs with ONNX Runtime on an even size.
#
# The converter is called as a library: importing MNN.tools.mnnconvert would install another
# package. Needs the network (pip). Exit code 0: the surprise is still there. 1: mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile \
    MNN==3.6.1 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6

cd "$work"
cat > show.py <<'PY'
import sys

import _tools
import MNN.expr as F
import MNN.nn as nn
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

column = np.arange(8, dtype=np.float32)
image = np.tile(column[:, None], (1, 8))[None, None]
centre = np.zeros((1, 1, 3, 3), np.float32)
centre[0, 0, 1, 1] = 1


def rows(**padding):
    """Run one 3x3 convolution of stride 2 and return the rows that it copied, by both."""
    node = helper.make_node('Conv', ['image', 'weight'], ['out'], strides=[2, 2], **padding)
    graph = helper.make_graph(
        [node],
        'graph',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info('out', TensorProto.FLOAT, [1, 1, 4, 4])],
        [numpy_helper.from_array(centre, 'weight')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, 'model.onnx')
    session = onnxruntime.InferenceSession('model.onnx', providers=['CPUExecutionProvider'])
    right = session.run(None, dict(image=image))[0]
    _tools.mnnconvert(
        ['', '-f', 'ONNX', '--modelFile', 'model.onnx', '--MNNModel', 'model.mnn', '--bizCode', 'x']
    )
    net = nn.load_module_from_file('model.mnn', ['image'], ['out'])
    given = F.placeholder([1, 1, 8, 8], F.NCHW, F.float)
    given.write(image.ravel().tolist())
    out = F.convert(net.forward([given])[0], F.NCHW)
    found = np.array(out.read()).reshape(1, 1, 4, 4)
    return [x[0, 0, :, 2].round().astype(int).tolist() for x in (right, found)]


cases = dict(
    SAME_UPPER=rows(auto_pad='SAME_UPPER'),
    SAME_LOWER=rows(auto_pad='SAME_LOWER'),
    explicit=rows(pads=[1, 1, 0, 0]),
)
for name, (right, found) in cases.items():
    print(f'RESULT {name:11} ONNX Runtime {right}   MNN {found}')
if cases['SAME_UPPER'] != [[1, 3, 5, 7]] * 2 or cases['explicit'] != [[0, 2, 4, 6]] * 2:
    sys.exit('OTHER: SAME_UPPER or explicit pads are another already')
if cases['SAME_LOWER'] != [[0, 2, 4, 6], [1, 3, 5, 7]]:
    sys.exit('MENDED: SAME_LOWER is no longer read as SAME_UPPER')
print('RESULT STILL SO: MNN pads SAME_LOWER behind the image')
PY
"$work/venv/bin/python" show.py > log 2>&1 || { grep -E 'RESULT|MENDED|OTHER' log || tail -5 log; exit 1; }
sed -n 's/^RESULT //p' log
