"""What eight bits cost: outputs of a float and an integer file on the same images.

The loss is told in standard deviations: the root of the mean squared difference of what a head's
last layer gives, over its standard deviation in float, and the mean of that over the heads. Of
detectors that choose regions inside, what lies behind cannot be compared place by place; there the
share of the detections that change is added.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmdet_lcp.export.int8_network import Network
from mmdet_lcp.export.needs import needed
from mmdet_lcp_runtime.nms import likeness

DEQUANTIZED = '_DequantizeLinear_Output'
SAME, RUNS = 0.5, 9  # IoU; of a latency


class Measured:
    """The float file on some images.

    Args:
        source: the file, as it is quantised: with the tensors of `network`.
        network: of its graph.
        images: as the file takes them.
    """

    def __init__(
        self, source: str | os.PathLike, network: Network, images: Sequence[np.ndarray]
    ) -> None:
        self._images = images
        places = [name for name in network.heads if name not in network.regions]
        self._heads = places or network.heads
        self._regions = bool(network.regions)
        self._float = self._outputs(source)

    def loss(self, path: str | os.PathLike) -> float:
        """Of an integer file, in standard deviations; >= 0."""
        values, errors = self._outputs(path), []
        for number in range(len(self._heads)):
            one, other = (
                np.concatenate([each[number].ravel() for each in outputs])
                for outputs in (self._float, values)
            )
            spread = one.std()
            errors.append(np.sqrt(np.square(one - other).mean()) / (spread or 1))
        found = float(np.mean(errors))
        if self._regions:
            rows = zip(self._float, values, strict=True)
            found += float(np.mean([changed(one[-2:], other[-2:]) for one, other in rows]))
        return found

    def _outputs(self, path: str | os.PathLike) -> list[list[np.ndarray]]:
        """Of each image: the heads', and of detectors with regions the file's first two."""
        onnx = needed('onnx')
        model = onnx.load(str(path))
        there = {name for node in model.graph.node for name in node.output}
        wanted = [
            name + DEQUANTIZED if name + DEQUANTIZED in there else name for name in self._heads
        ]
        known = [output.name for output in model.graph.output]
        for name in wanted:
            if name not in known:
                model.graph.output.append(onnx.ValueInfoProto(name=name))
        session = open_session(model.SerializeToString())
        asked = wanted + (known[:2] if self._regions else [])
        name = session.get_inputs()[0].name
        return [session.run(asked, {name: image}) for image in self._images]

    def latency_ms(self, path: str | os.PathLike) -> float:
        """Milliseconds for an image, with one thread: the least of several."""
        session = open_session(str(path))
        name, times = session.get_inputs()[0].name, []
        for run in range(RUNS + 1):
            begin = time.perf_counter()
            session.run(None, {name: self._images[0]})
            if run:
                times.append(1e3 * (time.perf_counter() - begin))
        return min(times)


def open_session(model: str | bytes | Path) -> Any:
    """A session on the CPU with one thread."""
    runtime = needed('onnxruntime')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(model, options, providers=['CPUExecutionProvider'])


def changed(expected: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float:
    """Share of the detections that change, weighted by their scores; 0 to 1.

    A detection stays as far as one of its label overlaps it by half or more, and as much as the
    lower of both scores is of the higher.

    Args:
        expected: ``dets`` (N, K, 5) and ``labels`` (N, K); or ``boxes`` and ``scores`` of
            candidates, of which the best label of each counts.
        found: likewise.
    """
    lost = total = 0.0
    for one, other in zip(_detections(*expected), _detections(*found), strict=True):
        boxes, scores, labels = one
        for box, score, label in zip(boxes, scores, labels, strict=True):
            mine = other[2] == label
            fits = mine & (likeness(box, other[0]) >= SAME)
            best = float(other[1][fits].max()) if fits.any() else 0.0
            total += score
            lost += score * (1 - min(best, score) / max(best, score, 1e-12))
    return lost / total if total else 0.0


def _detections(first: np.ndarray, second: np.ndarray, most: int = 100) -> list[tuple]:
    found = []
    for one, other in zip(first, second, strict=True):
        if one.shape[-1] == 5:
            there = other >= 0
            found.append((one[there, :4], one[there, 4], other[there]))
            continue
        label = other.argmax(1)
        score = other[np.arange(len(other)), label]
        box = one.reshape(len(one), -1, 4)
        box = box[np.arange(len(box)), label if box.shape[1] > 1 else 0]
        order = np.argsort(-score, kind='stable')[:most]
        found.append((box[order], score[order], label[order]))
    return found
