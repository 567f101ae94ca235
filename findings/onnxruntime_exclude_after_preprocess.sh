#!/usr/bin/env bash
# ONNX Runtime: a layer that is excluded from int8 by its name becomes int8 after `quant_pre_process`.
#
# Tools:    onnxruntime 1.31.1; onnx 1.23.2.
# Expected: `quant_pre_process`, which `quantize_static` itself asks for in a warning, leaves the
#           names of layers, or `nodes_to_exclude` refuses a name that is not in the graph.
# Seen:     a linear layer on rows of tokens (MatMul with a 3-D input, then Add) comes out as Reshape,
#           Gemm, Reshape, and the Gemm has another name, NAME/MatMulAddFusion. `nodes_to_exclude`
#           with the name of before is accepted without a word and does nothing: the file is, byte
#           for byte, that of no exclusion at all. Without the pre-processing the layer stays float.
# Who:      anybody who quantises a transformer and keeps its box or class layers in float.
# Do:       read the names from the pre-processed file, or look for one that begins with the old name.
#
# Needs the network (pip). Exit code 0: the surprise is still there. 1: it has been mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/pip" install -qq --disable-pip-version-check --no-cache-dir --no-compile "$@"; }
pip onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6

cat > "$work/show.py" <<'PY'
import logging
import sys
from importlib.metadata import version

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

logging.disable(logging.WARNING)
folder, kept = sys.argv[1], '/boxes/MatMul'
draw = np.random.default_rng(0)


def values(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(draw.normal(size=shape).astype(np.float32) / shape[0], name)


def linear(name: str, read: str, made: str) -> list[onnx.NodeProto]:
    """As torch's exporter writes nn.Linear on (N, tokens, channels)."""
    return [
        helper.make_node('MatMul', [read, f'{name}.w'], [f'{name}.product'], name=f'/{name}/MatMul'),
        helper.make_node('Add', [f'{name}.product', f'{name}.b'], [made], name=f'/{name}/Add'),
    ]


graph = helper.make_graph(
    [
        *linear('body', 'tokens', 'a'),
        helper.make_node('Relu', ['a'], ['b'], name='/body/Relu'),
        *linear('boxes', 'b', 'out'),
    ],
    'tokens',
    [helper.make_tensor_value_info('tokens', TensorProto.FLOAT, [1, 100, 16])],
    [helper.make_tensor_value_info('out', TensorProto.FLOAT, [1, 100, 4])],
    [values('body.w', 16, 32), values('body.b', 32), values('boxes.w', 32, 4), values('boxes.b', 4)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, f'{folder}/given.onnx')
quant_pre_process(f'{folder}/given.onnx', f'{folder}/prepared.onnx', skip_symbolic_shape=True)
images = [draw.normal(size=(1, 100, 16)).astype(np.float32) for _ in range(4)]


class Reader(CalibrationDataReader):
    def __init__(self) -> None:
        self.rest = iter(images)

    def get_next(self) -> dict | None:
        image = next(self.rest, None)
        return None if image is None else {'tokens': image}


def int8(source: str, exclude: list[str]) -> tuple[onnx.ModelProto, bool]:
    """The quantised model, and whether the box layer reads weights of eight bits."""
    target = f'{folder}/int8.onnx'
    quantize_static(
        f'{folder}/{source}.onnx', target, Reader(), quant_format=QuantFormat.QDQ,
        nodes_to_exclude=exclude,
    )
    made = onnx.load(target)
    makers = {name: node.op_type for node in made.graph.node for name in node.output}
    (layer,) = (n for n in made.graph.node if n.name.startswith(kept))
    return made, makers.get(layer.input[1]) == 'DequantizeLinear'


print('onnxruntime', version('onnxruntime'))
layers = [n.name for n in onnx.load(f'{folder}/prepared.onnx').graph.node if n.op_type in ('Gemm', 'MatMul')]
print('  layers after quant_pre_process:', ', '.join(layers))
_, plain = int8('given', [kept])
print(f'  as exported, {kept} excluded: eight bits: {plain}')
excluded, prepared = int8('prepared', [kept])
nothing, _ = int8('prepared', [])
same = excluded.SerializeToString() == nothing.SerializeToString()
print(f'  pre-processed, {kept} excluded: eight bits: {prepared}; as without exclusion: {same}')
_, renamed = int8('prepared', [name for name in layers if name.startswith(kept)])
print(f'  pre-processed, its new name excluded: eight bits: {renamed}')
if plain or renamed:
    sys.exit('OTHER: the layer becomes int8 where its name is right, too')
if kept in layers or not prepared:
    sys.exit('MENDED: the layer keeps its name, or stays in float by the name of before')
if not same:
    sys.exit('OTHER: the name of before has some effect')
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work"
echo 'STILL SO: after quant_pre_process an excluded linear layer has another name and becomes int8'
