"""Eight bits that hold the accuracy: measured on this machine, chosen, and said why.

Which scheme loses least depends on the CPU and on the detector, so each is written and run. With
``keep='auto'`` each layer is quantised alone, and those that lose most stay in float, as long as
that helps (`int8_keep`).
"""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.cpu import integer_instructions
from mmdet_lcp.export.int8 import SCHEMES, Quantizer
from mmdet_lcp.export.int8_keep import EQUAL_METRIC, kept_by_loss, kept_by_metric, named_nodes
from mmdet_lcp.export.int8_loss import Measured
from mmdet_lcp.export.needs import needed
from mmdet_lcp.files import atomic_path
from mmdet_lcp_runtime.metadata import KEY

MEASURED_IMAGES = 8  # of the calibration images
EQUAL_LOSS = 1.02  # times the least


@dataclass
class Tried:
    """One way to write the file.

    Attributes:
        loss: in standard deviations, see `int8_loss`.
        latency_ms: of one image, one thread.
        metric: by the caller's measurement, or None.
    """

    loss: float
    latency_ms: float
    metric: float | None = None


@dataclass
class Int8Choice:
    """What was chosen, and why.

    Attributes:
        scheme: one of `SCHEMES`.
        why: a sentence.
        cpu: integer instructions of this CPU.
        float_ms: milliseconds of the float file.
        float_metric: its metric, or None.
        tried: by scheme.
        layers: loss of each layer quantised alone, largest first; empty without ``keep='auto'``.
        kept: layers that stay in float.
        final: what was written.
    """

    scheme: str
    why: str
    cpu: str
    float_ms: float
    float_metric: float | None
    tried: dict[str, Tried]
    layers: dict[str, float] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    final: Tried | None = None

    def lines(self) -> list[str]:
        """For a log."""
        found = [
            f'int8 on this CPU ({self.cpu}); on another one results can differ.',
            f'float: {self.float_ms:.2f} ms' + _metric(self.float_metric),
        ]
        found += [f'{name}: {_told(tried)}' for name, tried in self.tried.items()]
        found.append(f'chosen: {self.scheme}, {self.why}')
        if self.kept:
            found.append(f'in float stay {len(self.kept)} layers: {", ".join(self.kept)}')
        found.append(f'written: {_told(self.final)}')
        return found

    def facts(self) -> dict:
        """For the file's description."""
        return {
            'scheme': self.scheme,
            'why': self.why,
            'cpu': self.cpu,
            'kept': self.kept,
            'loss': self.final.loss,
            'metric': self.final.metric,
            'tried': {name: vars(tried) for name, tried in self.tried.items()},
        }


def _metric(value: float | None) -> str:
    return '' if value is None else f', metric {value:.4f}'


def _told(tried: Tried) -> str:
    return f'loss {tried.loss:.4f}, {tried.latency_ms:.2f} ms' + _metric(tried.metric)


def choose_int8(
    source: str | os.PathLike,
    target: str | os.PathLike,
    images: Sequence[np.ndarray],
    method: str = 'minmax',
    keep: str | None = None,
    evaluate: Callable[[Path], float] | None = None,
    log: Callable[[str], None] | None = None,
) -> Int8Choice:
    """Write an ONNX file in eight bits, in the way that loses least on this machine.

    Args:
        source: the file in full precision.
        target: the file to write; what is chosen goes into its description.
        images: as the file takes them, (N, ...) each; ranges come from all, losses from the first
            eight.
        method: one of `int8.METHODS`.
        keep: regular expression of nodes that stay in float; ``'heads'``: the heads' last layers;
            ``'auto'``: the layers that lose most, or these, or both, as far as that helps.
        evaluate: a metric of a file, higher is better, such as mAP on the validation set; then it
            decides, and the loss where two differ by less than 0.001; ``'auto'`` keeps as little
            as comes within 0.001 of the float file.
        log: gets the lines of the result.

    Raises:
        CompressionError: see `int8.Quantizer`.
    """
    with (
        Quantizer(source, images, method) as quantizer,
        tempfile.TemporaryDirectory() as folder,
    ):
        layers, last = quantizer.network.layers, quantizer.network.last
        if not layers:
            raise CompressionError(f'{source}: has no layer with weights to quantise')

        def nodes(some: Sequence[str]) -> set[str]:
            return {node for name in some for node in layers[name]}

        fixed = named_nodes(keep, quantizer.names, quantizer.network)
        measured = Measured(quantizer.prepared, quantizer.network, images[:MEASURED_IMAGES])

        def tried(name: str, scheme: str, kept: set[str], whole: bool = True) -> tuple:
            path = Path(folder, f'{name}.onnx')
            quantizer.write(path, scheme, kept)
            loss = measured.loss(path)
            if not whole:
                return loss, path
            metric = evaluate(path) if evaluate else None
            return Tried(loss, measured.latency_ms(path), metric), path

        found = {
            scheme: tried(f'scheme{number}', scheme, fixed)
            for number, scheme in enumerate(SCHEMES)
        }
        results = {scheme: each[0] for scheme, each in found.items()}
        scheme, why = best_scheme(results)
        choice = Int8Choice(
            scheme,
            why,
            integer_instructions(),
            measured.latency_ms(source),
            evaluate(Path(source)) if evaluate else None,
            results,
        )
        choice.final, path = found[scheme]
        choice.kept = list(last) if keep == 'heads' else []
        if keep == 'auto':
            alone = {
                layer: tried('alone', scheme, quantizer.network.nodes - nodes([layer]), False)[0]
                for layer in layers
            }
            order = sorted(alone, key=alone.get, reverse=True)
            choice.layers = {layer: alone[layer] for layer in order}
            runs: dict[tuple[str, ...], tuple] = {}

            def run(some: Sequence[str]) -> Any:
                """The metric with some layers in float, or else the loss."""
                name = f'kept{len(runs)}'
                runs[tuple(some)] = tried(name, scheme, nodes(some), whole=bool(evaluate))
                found = runs[tuple(some)][0]
                return found.metric if evaluate else found

            if evaluate:
                without, full = choice.final.metric, choice.float_metric
                choice.kept = kept_by_metric(order, last, without, full, run)
            else:
                choice.kept = kept_by_loss(order, last, choice.final.loss, run)
            if choice.kept:
                choice.final, path = (
                    runs[tuple(choice.kept)]
                    if evaluate
                    else tried('kept', scheme, nodes(choice.kept))
                )
        _deliver(source, path, target, choice)
    for line in choice.lines() if log else ():
        log(line)
    return choice


def best_scheme(results: dict[str, Tried]) -> tuple[str, str]:
    """The scheme that loses least, and a sentence why."""
    order = sorted(results, key=lambda name: results[name].loss)
    metrics = {name: tried.metric for name, tried in results.items()}
    if None in metrics.values():
        near = [
            name for name in order if results[name].loss <= EQUAL_LOSS * results[order[0]].loss
        ]
        chosen = min(near, key=lambda name: results[name].latency_ms)
        others = ', '.join(f'{name} {results[name].loss:.4f}' for name in order if name != chosen)
        what = 'which loses least' if len(near) == 1 else 'the fastest of those that lose least'
        return chosen, f'{what}: {results[chosen].loss:.4f} of a standard deviation, {others}'
    most = max(metrics.values())
    near = [name for name in order if metrics[name] >= most - EQUAL_METRIC]
    others = ', '.join(f'{name} {metrics[name]:.4f}' for name in order if name != near[0])
    why = f'with the metric {metrics[near[0]]:.4f} ({others})'
    return near[0], why + (' and the smallest loss of those as good' if len(near) > 1 else '')


def _deliver(
    source: str | os.PathLike, made: Path, target: str | os.PathLike, choice: Int8Choice
) -> None:
    """Copy the file, with the description of its source and what was chosen."""
    onnx = needed('onnx')
    model = onnx.load(str(made))
    props = {prop.key: prop.value for prop in onnx.load(str(source)).metadata_props}
    if KEY in props:
        facts = {**json.loads(props[KEY]), 'int8': choice.facts()}
        props[KEY] = json.dumps(facts)
    own = {prop.key: prop.value for prop in model.metadata_props}
    onnx.helper.set_model_props(model, {**own, **props})
    with atomic_path(target) as temporary:
        onnx.save(model, str(temporary))
