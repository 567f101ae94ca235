#!/usr/bin/env bash
# Whether pnnx takes the batch axis away depends on whether the graph has a convolution in it.
#
# Tools:    pnnx 20261020 (ONNX to ncnn), ncnn 1.0.20261020; against onnxruntime 1.31.1.
# Expected: ncnn has no batch axis, so pnnx removes it: an input (1, C, H, W) is a three
#           dimensional Mat of the model, always, and a Softmax over the classes (axis 1)
#           is a softmax over the first axis of that Mat.
# Seen:     pnnx guesses which axis is the batch from layers that have one, such as a
#           convolution, and removes it only then. A graph without such a layer keeps its four
#           axes: "Softmax 0=1" instead of "Softmax 0=0". The usual three-dimensional Mat is
#           taken all the same, and the softmax goes over the rows of the image in place of the
#           classes. No error, and the output has the expected shape (8, 10, 12).
#           The same graph behind a 1x1 convolution is right, and wrong with a 4-D Mat.
# Who:      whoever cuts a detector in two, runs the network on one device and the decoding of
#           the head (softmax, normalisation, split, reduction) as an ncnn model of its own, or
#           tests a layer alone before the whole.
# Do:       look at the axis in the .ncnn.param file; for a graph without convolutions, hand in
#           the batch axis (a 4-D Mat), or put an identity convolution in front. Compare one
#           output with ONNX Runtime for each converted file, not only for the whole detector.
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
shape = [1, 8, 10, 12]
image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
identity = np.eye(8, dtype=np.float32).reshape(8, 8, 1, 1)


def largest_error(name, nodes, constants):
    """Convert a graph and return its error for a 3-D and for a 4-D Mat, and the layer."""
    graph = helper.make_graph(
        nodes,
        'graph',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info('out', TensorProto.FLOAT, shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, f'{name}.onnx')
    session = onnxruntime.InferenceSession(f'{name}.onnx', providers=['CPUExecutionProvider'])
    right = session.run(None, dict(image=image))[0][0]
    command = [program, f'{name}.onnx', f'inputshape={shape}'.replace(' ', ''), 'fp16=0']
    subprocess.run(command, check=True, capture_output=True)
    errors = []
    for given in (image[0], image):
        net = ncnn.Net()
        assert net.load_param(f'{name}.ncnn.param') == 0
        assert net.load_model(f'{name}.ncnn.bin') == 0
        extractor = net.create_extractor()
        extractor.input('in0', ncnn.Mat(given).clone())
        code, out = extractor.extract('out0')
        assert code == 0
        errors.append(float(abs(np.array(out).reshape(right.shape) - right).max()))
    lines = pathlib.Path(f'{name}.ncnn.param').read_text().splitlines()
    return errors, ' '.join(next(line for line in lines if 'Softmax' in line).split())


softmax = helper.make_node('Softmax', ['image'], ['out'], axis=1)
behind = [
    helper.make_node('Conv', ['image', 'weight'], ['same']),
    helper.make_node('Softmax', ['same'], ['out'], axis=1),
]
alone, line = largest_error('alone', [softmax], [])
print(f'softmax alone            error: 3-D {alone[0]:.6f}, 4-D {alone[1]:.6f}   {line}')
conv, line = largest_error('conv', behind, [numpy_helper.from_array(identity, 'weight')])
print(f'behind an identity conv  error: 3-D {conv[0]:.6f}, 4-D {conv[1]:.6f}   {line}')
if conv[0] > 1e-5:
    sys.exit('OTHER: the graph with a convolution is wrong too')
if alone[0] < 1e-5:
    sys.exit('MENDED: the batch axis is removed without a convolution too')
if alone[1] > 1e-5:
    sys.exit('OTHER: the graph alone is not right with the batch axis either')
print('STILL SO: without a convolution the batch axis stays')
PY
"$work/venv/bin/python" show.py
