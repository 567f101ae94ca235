#!/usr/bin/env bash
# OpenVINO computes deformable convolutions, but does not read ONNX's operator for them.
#
# Tools:    openvino 2026.4.1; onnx 1.23.2, whose checker and reference accept the file.
# Expected: ONNX has DeformConv since opset 19, OpenVINO the same operation since its opset 8
#           (DeformableConvolution, with a mask: modulated): a file with it opens.
# Seen:     read_model refuses it: no conversion rule for DeformConv. The engine's own operator,
#           built by hand from the same tensors, computes what onnx's reference does.
# Who:      anybody who takes a detector with DCN, such as VFNet, TOOD or RepPoints, to an Intel CPU:
#           export succeeds, ONNX is standard, and the last step ends.
# Do:       give the reader a rule (openvino.frontend.onnx.ConversionExtension), which maps DeformConv
#           to DeformableConvolution; offsets have the same order, bias is added behind.
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile "$@"; }
pip openvino==2026.4.1 onnx==1.23.2

cat > "$work/show.py" <<'PY'
import sys

import numpy as np
import onnx
import openvino as ov
from onnx import TensorProto, helper, reference
from openvino import opset8

random = np.random.default_rng(0)
data = {
    'x': random.normal(size=(1, 2, 6, 7)),
    'w': random.normal(size=(3, 2, 3, 3)),
    'offset': random.normal(size=(1, 18, 6, 7)),
    'bias': np.zeros(3),
    'mask': random.uniform(size=(1, 9, 6, 7)),
}
data = {name: value.astype(np.float32) for name, value in data.items()}
node = helper.make_node(
    'DeformConv', list(data), ['y'], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]
)
graph = helper.make_graph(
    [node],
    'one deformable convolution',
    [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in data.items()],
    [helper.make_tensor_value_info('y', TensorProto.FLOAT, (1, 3, 6, 7))],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 19)], ir_version=9)
onnx.checker.check_model(model, full_check=True)
(expected,) = reference.ReferenceEvaluator(model).run(None, data)

path = sys.argv[1] + '/deform.onnx'
onnx.save(model, path)
print('openvino', ov.__version__)
try:
    ov.Core().read_model(path)
    refused = ''
except Exception as error:
    lines = [line for line in str(error).splitlines() if 'DeformConv' in line]
    refused = lines[0].strip() if lines else str(error)
print('  read_model:', refused or 'reads it')

parameters = {k: opset8.parameter(v.shape, np.float32) for k, v in data.items() if k != 'bias'}
built = opset8.deformable_convolution(
    parameters['x'], parameters['offset'], parameters['w'],
    [1, 1], [1, 1], [1, 1], [1, 1], mask=parameters['mask'], bilinear_interpolation_pad=True,
)
own = ov.Core().compile_model(ov.Model([built], list(parameters.values())), 'CPU')
found = own({number: data[name] for number, name in enumerate(parameters)})[0]
difference = float(np.abs(found - expected).max())
print(f'  its own operator beside the reference of onnx: {difference:.1e}')
if difference > 1e-4:
    sys.exit('OTHER: the engine and the reference of onnx do not agree')
if not refused:
    sys.exit('MENDED: read_model reads DeformConv now')
if 'DeformConv' not in refused:
    sys.exit('OTHER: the file is refused for another reason')
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work"
echo 'STILL SO: OpenVINO has deformable convolutions and does not read them from ONNX'
