#!/usr/bin/env bash
# pnnx turns an ONNX Gather with a list of indices into "take element 1", whatever the list says.
#
# Tools:    pnnx 20261020 (ONNX to ncnn), ncnn 1.0.20261020; against onnxruntime 1.31.1.
# Expected: Gather on the channel axis with the constant [2, 1, 0] turns blue-green-red to
#           red-green-blue. pnnx either knows it or says so.
# Seen:     it becomes a Crop of one channel, number 1, and a Squeeze, for [2, 1, 0] as for
#           [0, 1, 2] and [2, 2, 0]. pnnx exits with 0, ncnn loads the file and runs it: one
#           channel comes out, the middle one. The list is nowhere in the file.
# Who:      whoever puts the preprocessing into the exported file (a flip of channels written
#           x[:, [2, 1, 0]] in torch is such a Gather), or picks a few coordinates of a
#           keypoint or box regression by a list.
# Do:       order the channels outside, or fold the order into the first convolution's weights;
#           for contiguous picks use Slice, or a 1x1 convolution with zeros and ones (last lines
#           below: right). Compare with ONNX Runtime on an image with unequal channels.
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile "$@"; }
pip onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
pip --no-deps pnnx==20261020 ncnn==1.0.20261020

cd "$work"
cat > show.py <<'PY'
import importlib.util
import pathlib
import subprocess
import sys

import ncnn
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# The program inside the package: importing the package would need torch.
program = pathlib.Path(importlib.util.find_spec('pnnx').origin).with_name('pnnx')
image = np.broadcast_to(np.array([10, 20, 30], np.float32).reshape(1, 3, 1, 1), (1, 3, 4, 5))
image = np.ascontiguousarray(image)
identity = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)


def channels(name, pick, constants):
    """Return the value of each output channel by ONNX Runtime and by ncnn."""
    nodes = [
        # Tells pnnx which axis is the batch.
        helper.make_node('Conv', ['image', 'identity'], ['same']),
        pick,
    ]
    graph = helper.make_graph(
        nodes,
        'graph',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, [1, 3, 4, 5])],
        [helper.make_tensor_value_info('out', TensorProto.FLOAT, [1, 3, 4, 5])],
        [
            numpy_helper.from_array(value, key)
            for key, value in dict(identity=identity, **constants).items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, f'{name}.onnx')
    session = onnxruntime.InferenceSession(f'{name}.onnx', providers=['CPUExecutionProvider'])
    right = session.run(None, dict(image=image))[0][0]
    command = [program, f'{name}.onnx', 'inputshape=[1,3,4,5]', 'fp16=0']
    subprocess.run(command, check=True, capture_output=True)
    net = ncnn.Net()
    assert net.load_param(f'{name}.ncnn.param') == 0
    assert net.load_model(f'{name}.ncnn.bin') == 0
    extractor = net.create_extractor()
    extractor.input('in0', ncnn.Mat(image[0]).clone())
    code, out = extractor.extract('out0')
    assert code == 0
    # One channel comes back as a matrix.
    seen = np.array(out).reshape(-1, 4, 5)
    assert all((values == values[0, 0]).all() for values in (*right, *seen))
    return right[:, 0, 0].tolist(), seen[:, 0, 0].tolist()


def gather(*indices):
    node = helper.make_node('Gather', ['same', 'indices'], ['out'], axis=1)
    return node, dict(indices=np.array(indices, np.int64))


turn = np.eye(3, dtype=np.float32)[[2, 1, 0]].reshape(3, 3, 1, 1)
cases = dict(
    reverse=channels('reverse', *gather(2, 1, 0)),
    same=channels('same', *gather(0, 1, 2)),
    twice=channels('twice', *gather(2, 2, 0)),
    conv=channels(
        'conv', helper.make_node('Conv', ['same', 'turn'], ['out']), dict(turn=turn)
    ),
)
print('the values of the channels that come out, of 10, 20, 30')
for name, (right, seen) in cases.items():
    print(f'{name:8} ONNX Runtime {right}   pnnx and ncnn {seen}')
if cases['conv'][0] != cases['conv'][1]:
    sys.exit('OTHER: a convolution in place of the Gather is wrong too')
if any(cases[name][1] != [20.0] for name in ('reverse', 'same', 'twice')):
    sys.exit('MENDED: Gather with a list no longer takes channel 1')
print('STILL SO: Gather with a list takes channel 1 for all')
PY
"$work/venv/bin/python" show.py
