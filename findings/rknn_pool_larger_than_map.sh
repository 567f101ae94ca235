#!/usr/bin/env bash
# Rockchip's toolkit: a max pool whose window is larger than the map becomes a maximum of the map.
#
# Tool:     rknn-toolkit2 2.5.0 (converter and simulator, platforms rk3588 and rk3566), against
#           onnxruntime 1.26.0; onnx 1.18.0.
# Expected: A max pool of window k, stride 1 and padding k // 2 takes the maximum of the k x k
#           neighbours that there are. On a map of side s < k the corner still sees no further
#           than k // 2 pixels.
# Seen:     where s < k and the window does not reach over all of the map (k // 2 < s - 1), each
#           pixel gets the maximum of the whole map. `load_onnx`, `build` and `inference` return
#           0 and warn of nothing. With k <= s all is right.
# Who:      detectors with spatial pyramid pooling, windows of 5, 9 and 13 on the map of stride
#           32: YOLOX, RTMDet, YOLOv4 and some YOLOv5, at inputs of less than 416 pixels, as
#           boards get them for speed. Of a YOLOX-tiny at 192 x 192 the head's maps moved by up
#           to a third of their range in float16, where rounding alone gives a thirtieth of that.
# Do:       put a chain of small pools in its place before the conversion: 5 after 5 is 9, and
#           5 after 5 after 5 is 13, borders included (last line below).
#
# A .rknn file of the same build runs on the board; it was not run on one here. The toolkit asks
# for torch<=2.4.0; it needs torch for its import alone here, and does the same with 2.13.0.
# Needs the network (pip). Exit code 0: the surprise is still there. 1: mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile "$@"; }
pip torch==2.13.0 numpy==1.26.4 onnx==1.18.0 onnxruntime==1.26.0 protobuf==4.25.4 psutil==7.2.2 \
    ruamel.yaml==0.19.1 scipy==1.17.1 tqdm==4.70.1 fast-histogram==0.14 setuptools==80.9.0 \
    opencv-python-headless==4.11.0.86
pip --no-deps rknn-toolkit2==2.5.0

cd "$work"
cat > show.py <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from rknn.api import RKNN

CHANNELS = 16
copy = np.eye(CHANNELS, dtype=np.float32).reshape(CHANNELS, CHANNELS, 1, 1)


def pooled(side, *windows):
    """Pools one after the other on a random map: by ONNX Runtime and by the toolkit."""
    image = np.random.default_rng(0).normal(size=(1, CHANNELS, side, side)).astype(np.float32)
    names = ['copied', *(f'pooled{number}' for number in range(len(windows)))]
    nodes = [helper.make_node('Conv', ['image', 'copy'], ['copied'])]
    for window, before, after in zip(windows, names, names[1:]):
        keys = dict(kernel_shape=[window] * 2, pads=[window // 2] * 4, strides=[1, 1])
        nodes.append(helper.make_node('MaxPool', [before], [after], **keys))
    kind, shape = TensorProto.FLOAT, list(image.shape)
    graph = helper.make_graph(
        nodes,
        'graph',
        [helper.make_tensor_value_info('image', kind, shape)],
        [helper.make_tensor_value_info(names[-1], kind, shape)],
        [numpy_helper.from_array(copy, 'copy')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, 'model.onnx')
    session = onnxruntime.InferenceSession('model.onnx', providers=['CPUExecutionProvider'])
    right = session.run(None, dict(image=image))[0]
    net = RKNN(verbose=False)
    net.config(target_platform='rk3588')
    failed = net.load_onnx(model='model.onnx') or net.build(do_quantization=False)
    if failed or net.init_runtime():
        sys.exit('OTHER: the toolkit refuses the file')
    found = net.inference(inputs=[image], data_format='nchw')[0]
    net.release()
    wrong = np.abs(found - right) > 0.01  # float16 rounds by less than 0.002 here
    whole = np.abs(found - image.max((2, 3), keepdims=True)) < 0.01
    return wrong, whole


def told(name, wrong):
    print(f'RESULT {name:34} {wrong.mean():6.1%} of the values are wrong')


fits = [pooled(side, window)[0] for side, window in ((24, 13), (12, 9), (10, 9))]
for name, wrong in zip(('24x24, window 13', '12x12, window 9', '10x10, window 9'), fits):
    told(name, wrong)
larger = [pooled(side, window) for side, window in ((12, 13), (10, 13), (8, 9), (6, 7))]
for name, (wrong, _) in zip(
    ('12x12, window 13', '10x10, window 13', '8x8, window 9', '6x6, window 7'), larger
):
    told(name, wrong)
chain = pooled(10, 5, 5, 5)[0]
told('10x10, windows 5, 5, 5 (as 13)', chain)
if any(wrong.any() for wrong in (*fits, chain)):
    sys.exit('OTHER: windows that fit are wrong, too')
if not all(wrong.any() for wrong, _ in larger):
    sys.exit('MENDED: windows larger than the map are right')
if not all(whole.all() for _, whole in larger):
    sys.exit('OTHER: larger windows give something else than the maximum of the map')
print('RESULT STILL SO: windows larger than the map give the maximum of the whole map')
PY
"$work/venv/bin/python" show.py > log 2>&1 || { grep -E 'RESULT|MENDED|OTHER' log || tail -5 log; exit 1; }
sed -n 's/^RESULT //p' log
