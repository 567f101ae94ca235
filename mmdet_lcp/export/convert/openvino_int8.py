"""OpenVINO in eight bits, by NNCF.

NNCF leaves out what lies around NMS in a file that has it; in a decoded file it would put the
boxes themselves into eight bits. So it is told which nodes are no network.
"""

import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.convert import described
from mmdet_lcp.export.convert.openvino import read_onnx
from mmdet_lcp.export.cpu import integer_instructions
from mmdet_lcp.export.int8_keep import named_nodes
from mmdet_lcp.export.int8_loss import changed
from mmdet_lcp.export.int8_network import network_of
from mmdet_lcp.export.needs import needed
from mmdet_lcp.files import write_json
from mmdet_lcp_runtime.engines import open_engine


@dataclass(frozen=True)
class OpenvinoInt8:
    """What was written.

    Attributes:
        path: the file (``*.xml``).
        changed: share of the detections or best candidates that change, by score; 0 to 1.
        nodes: so many were quantised.
        cpu: integer instructions of this CPU; elsewhere results can differ.
    """

    path: Path
    changed: float
    nodes: int
    cpu: str


def write_openvino_int8(
    source: str | os.PathLike,
    target: str | os.PathLike,
    images: Sequence[np.ndarray],
    keep: str | None = None,
) -> OpenvinoInt8:
    """Quantise an exported ONNX file for OpenVINO.

    Args:
        source: the file in full precision, end-to-end or decoded.
        target: the file to write (``*.xml``); its weights and description go beside it.
        images: as the file takes them, (N, ...) each; at least one.
        keep: what stays in full precision: nodes of `source` in whose names a regular expression
            is found, or ``'heads'``, the heads' last layers.

    Raises:
        CompressionError: openvino or nncf is not installed, or refuses the file.
    """
    if not images:
        raise CompressionError('int8 needs at least one image to calibrate on')
    target = Path(target)
    if target.suffix != '.xml':
        raise CompressionError(f'{target}: the name of an OpenVINO file ends in .xml')
    openvino, nncf = needed('openvino', 'openvino'), needed('nncf', 'openvino')
    onnx = needed('onnx')
    description = described(Path(source))
    graph = onnx.load(str(source))
    for number, node in enumerate(graph.graph.node):
        node.name = node.name or f'{node.op_type}_{number}'
    nodes = {node.name for node in graph.graph.node}
    parts = network_of(graph)
    kept = named_nodes(keep, [node.name for node in graph.graph.node], parts)
    network = parts.nodes - kept
    target.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        warnings.simplefilter('ignore')
        nncf.set_log_level(logging.ERROR)
        named = Path(folder, 'named.onnx')
        onnx.save(graph, str(named))
        model = read_onnx(named)
        aside = [
            name
            for name in (each.get_friendly_name() for each in model.get_ops())
            if _origin(name, nodes) not in (None, *network)
        ]
        try:
            made = nncf.quantize(
                model,
                nncf.Dataset([{0: image} for image in images]),
                subset_size=len(images),
                ignored_scope=nncf.IgnoredScope(names=aside, validate=False),
            )
        except Exception as error:  # NNCF's and OpenVINO's own classes
            raise CompressionError(
                f'{source}: NNCF cannot quantise it ({error!s:.300})'
            ) from error
        count = sum(each.get_type_name() == 'FakeQuantize' for each in made.get_ops())
        path = Path(folder, target.name)
        openvino.save_model(made, str(path), compress_to_fp16=False)
        found = []
        for each in (source, path):
            engine = open_engine(each, None, None)
            names = engine.outputs(description['outputs'])
            rows = [engine.run({description['input']['name']: image}) for image in images]
            names = [name for name in description['outputs'][:2] if name in names]
            found.append([[row[name] for name in names] for row in rows])
        share = float(np.mean([changed(*pair) for pair in zip(*found, strict=True)]))
        for each in (path, path.with_suffix('.bin')):
            os.replace(each, target.parent / each.name)
    facts = {
        'by': 'nncf',
        'kept': sorted(kept),
        'changed': share,
        'cpu': integer_instructions(),
        'version': nncf.__version__,
    }
    write_json(target.with_suffix('.json'), {**description, 'int8': facts})
    return OpenvinoInt8(target, share, count, integer_instructions())


def _origin(name: str, nodes: set[str]) -> str | None:
    """The ONNX node that an operation of OpenVINO comes from: some become several."""
    while name and name not in nodes:
        name = name.rpartition('/')[0]
    return name or None
