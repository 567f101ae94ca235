"""The report of one compression run: what it cost, what it kept, and how to repeat it.

``report.json`` is for programs, ``report.md`` for people, ``steps.png`` shows the main metric
after each step. All three are made from one :class:`Report`.
"""

import dataclasses
import importlib
import importlib.metadata
import json
import math
import os
import platform
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import torch

from ..errors import CompressionError
from ..files import atomic_path, write_json, write_text
from .tables import (
    MISSING,
    format_bytes,
    format_change,
    format_count,
    format_difference,
    format_metric,
    format_ms,
    format_seconds,
    markdown_table,
    text_table,
)

REPORT_JSON = 'report.json'
REPORT_MD = 'report.md'
STEPS_PNG = 'steps.png'
DETECTIONS_PNG = 'detections.png'

STEPS = ('dense', 'selected', 'finetuned', 'final')


@dataclass
class DetectorFacts:
    """What is known of one detector, before or after compression.

    Attributes:
        metrics: The evaluator's numbers, by its own keys (``'pascal_voc/AP50'``).
        params: Number of parameters.
        macs: Multiply-accumulates of one image.
        backbone_macs: Those of the backbone's convolutions and linear layers.
        latency_ms: Wall time of one image in milliseconds.
        file_bytes: Size of the checkpoint that holds its weights alone.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    params: int | None = None
    macs: int | None = None
    backbone_macs: int | None = None
    latency_ms: float | None = None
    file_bytes: int | None = None


@dataclass
class GroupFacts:
    """What became of one channel group.

    Attributes:
        name: The group's name.
        total: Channels before.
        asked: Channels that the config asked to keep.
        kept: Channels kept.
        criterion_seconds: How long scoring and picking took.
    """

    name: str
    total: int
    asked: int
    kept: int
    criterion_seconds: float | None = None


@dataclass
class SkippedLayer:
    """A layer or group that was left alone, and why."""

    name: str
    reason: str


@dataclass
class StepFacts:
    """The metrics measured at one moment of the run.

    Attributes:
        step: ``'dense'``, ``'selected'`` (right after surgery), ``'finetuned'`` or ``'final'``.
        group: Name of the group or stage, None where the step concerns the whole detector.
        metrics: As in :class:`DetectorFacts`.
    """

    step: str
    group: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.step not in STEPS:
            raise ValueError(f'step is one of {", ".join(STEPS)}, not {self.step!r}')

    @property
    def label(self) -> str:
        """The step in words: ``'backbone.conv1, selected'``."""
        return f'{self.group}, {self.step}' if self.group else self.step


@dataclass
class Report:
    """All that is written down about one compression run.

    Attributes:
        method: Short name of the method (``'LCP'``).
        seed: Random seed of the run.
        command: The command line that repeats it.
        seconds: Wall time of the whole run.
        dense: The detector before.
        compressed: The detector after.
        groups: One entry a channel group, in the order of pruning.
        skipped: What was left alone.
        steps: The metrics along the run, in order.
        versions: Package -> version; those of this process unless given.
        hardware: See :func:`hardware`; those of this machine unless given.
    """

    method: str
    seed: int | None
    command: str
    seconds: float
    dense: DetectorFacts
    compressed: DetectorFacts
    groups: list[GroupFacts] = field(default_factory=list)
    skipped: list[SkippedLayer] = field(default_factory=list)
    steps: list[StepFacts] = field(default_factory=list)
    versions: dict[str, str | None] = field(default_factory=lambda: versions())
    hardware: dict[str, Any] = field(default_factory=lambda: hardware())

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: dicts, lists and numbers."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> 'Report':
        """Build a report from what :meth:`to_dict` returned.

        Raises:
            CompressionError: A key is missing or unknown.
        """
        try:
            data = dict(data)
            data['dense'] = DetectorFacts(**data['dense'])
            data['compressed'] = DetectorFacts(**data['compressed'])
            data['groups'] = [GroupFacts(**row) for row in data.get('groups', [])]
            data['skipped'] = [SkippedLayer(**row) for row in data.get('skipped', [])]
            data['steps'] = [StepFacts(**row) for row in data.get('steps', [])]
            return cls(**data)
        except (KeyError, TypeError, ValueError) as error:
            raise CompressionError(f'this is no report of a compression run: {error}') from error


def versions() -> dict[str, str | None]:
    """Return package -> version of what decides the outcome, None for what is not installed."""
    found: dict[str, str | None] = dict(python=platform.python_version())
    for name in ('torch', 'mmdet', 'mmcv', 'mmengine', 'mmdet_lcp'):
        try:
            found[name] = getattr(importlib.import_module(name), '__version__', None)
        except ImportError:
            found[name] = None
        if found[name] is None:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
    return {name: version and str(version) for name, version in found.items()}


def hardware() -> dict[str, Any]:
    """Describe this machine.

    Returns:
        ``cpu``: model name; ``cores``: cores this process may use; ``threads``: those torch
        uses; ``gpus``: names, an empty list without CUDA.
    """
    cpu = platform.processor() or platform.machine()
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                cpu = line.split(':', 1)[1].strip()
                break
    except OSError:
        pass
    can_ask = hasattr(os, 'sched_getaffinity')
    cores = len(os.sched_getaffinity(0)) if can_ask else os.cpu_count()
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return dict(cpu=cpu, cores=cores, threads=torch.get_num_threads(), gpus=gpus)


def main_metric(metrics: dict[str, Any]) -> str:
    """Pick the key by which detectors are compared.

    The mean AP at IoU 0.5 comes first (``*AP50``, ``*mAP_50``), then ``*mAP``; boxes before
    masks; else the first number.

    Args:
        metrics: An evaluator's result.

    Returns:
        The key.

    Raises:
        CompressionError: There is no number in ``metrics``.
    """
    keys = [key for key, value in metrics.items() if _is_number(value)]
    keys.sort(key=lambda key: 'segm' in key)  # stable: boxes first, the evaluator's order else
    for endings in (('AP50', 'AP_50'), ('mAP', 'AP')):
        for key in keys:
            if key.endswith(endings):
                return key
    if not keys:
        raise CompressionError(
            'the evaluator returned no number; set val_evaluator or test_evaluator in the config '
            "(type='VOCMetric' or 'CocoMetric')."
        )
    return keys[0]


def summary_text(report: Report) -> str:
    """Lay out what is printed when a run ends.

    Args:
        report: The run.

    Returns:
        Text in plain ASCII tables: the groups first, and last the table a user wants: dense,
        compressed, change.
    """
    parts = []
    if report.groups:
        parts.append(text_table(*_group_table(report), title='channels'))
    if report.skipped:
        parts.append(f'{len(report.skipped)} left alone; the reasons are in {REPORT_MD}.')
    title = f'{report.method}, {format_seconds(report.seconds)}'
    parts.append(text_table(*_summary_table(report), title=title))
    return '\n\n'.join(parts)


def write_report(report: Report, folder: str | os.PathLike) -> None:
    """Write ``report.json``, ``report.md`` and, where steps were measured, ``steps.png``.

    ``report.md`` shows ``detections.png`` if that file is already in the folder.

    Args:
        report: The run.
        folder: Usually the work_dir; made if it is missing.
    """
    folder = Path(folder)
    write_json(folder / REPORT_JSON, report.to_dict())
    draw_steps(report, folder / STEPS_PNG)
    write_text(folder / REPORT_MD, report_markdown(report, folder))


def read_report(path: str | os.PathLike) -> Report:
    """Read a ``report.json``, named itself or by its folder.

    Raises:
        CompressionError: There is none, or it is no report.
    """
    path = Path(path)
    if path.is_dir():
        path = path / REPORT_JSON
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise CompressionError(
            f'{path}: there is no such report; it is written when a run ends.'
        ) from error
    except ValueError as error:
        raise CompressionError(f'{path}: is no JSON ({error}).') from error
    try:
        return Report.from_dict(data)
    except CompressionError as error:
        raise CompressionError(f'{path}: {error}') from error


def report_markdown(report: Report, folder: str | os.PathLike = '.') -> str:
    """Lay out ``report.md``.

    Args:
        report: The run.
        folder: Where it will lie; pictures that exist there are shown.

    Returns:
        Markdown.
    """
    folder = Path(folder)
    parts = [f'# {report.method}', markdown_table(*_summary_table(report))]
    if (folder / DETECTIONS_PNG).exists():
        parts += [
            '## Detections',
            f'![Ground truth, dense and compressed detector on test images]({DETECTIONS_PNG})',
        ]
    if report.groups:
        parts += ['## Channels', markdown_table(*_group_table(report))]
    if report.steps:
        parts += ['## Steps', markdown_table(*_step_table(report))]
        if (folder / STEPS_PNG).exists():
            parts.append(f'![The metric after each step]({STEPS_PNG})')
    if report.skipped:
        rows = [[layer.name, layer.reason] for layer in report.skipped]
        parts += ['## Left alone', markdown_table(['layer', 'reason'], rows, words=2)]
    parts += ['## To repeat it', f'```\n{report.command}\n```', _circumstances(report)]
    return '\n\n'.join(parts) + '\n'


def draw_steps(report: Report, out_file: str | os.PathLike) -> None:
    """Draw the main metric after each step into a PNG; nothing where no step has a metric.

    Args:
        report: The run.
        out_file: The picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    key = _step_metric(report)
    if key is None:
        return
    values = [_number(step.metrics.get(key)) for step in report.steps]
    figure = Figure(figsize=(min(30.0, max(6.0, 2.5 + 0.45 * len(values))), 5), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = range(len(values))
    axes.plot(places, values, color='0.6', linewidth=1, zorder=1)
    looks = dict(
        dense=('black', 'black', 's'),
        selected=('white', 'tab:red', 'o'),
        finetuned=('tab:blue', 'tab:blue', 'o'),
        final=('tab:green', 'tab:green', 'D'),
    )
    for kind, (face, edge, marker) in looks.items():
        here = [i for i, step in enumerate(report.steps) if step.step == kind]
        if here:
            axes.scatter(
                here,
                [values[i] for i in here],
                s=45,
                marker=marker,
                facecolor=face,
                edgecolor=edge,
                linewidth=1.5,
                label=kind,
                zorder=2,
            )
    dense = next(
        (v for v, step in zip(values, report.steps, strict=True) if step.step == 'dense'), math.nan
    )
    if math.isfinite(dense):
        axes.axhline(dense, color='black', linestyle=':', linewidth=1, zorder=0)
    axes.set_xticks(places, [step.group or step.step for step in report.steps], rotation=60)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment('right')
        label.set_rotation_mode('anchor')
    axes.set_xlabel('step, in order')
    axes.set_ylabel(key)
    axes.grid(axis='y', alpha=0.3)
    axes.margins(y=0.12)
    axes.legend(loc='best', framealpha=0.9)
    axes.set_title(f'{report.method}: {key} after each step')
    with atomic_path(out_file) as temporary:
        figure.savefig(temporary, bbox_inches='tight')


def _summary_table(report: Report) -> tuple[list[str], list[list[str]]]:
    dense, compressed = report.dense, report.compressed
    keys = [*dense.metrics, *(key for key in compressed.metrics if key not in dense.metrics)]
    rows = []
    for key in keys:
        values = [_number(facts.metrics.get(key), None) for facts in (dense, compressed)]
        if values != [None, None]:
            rows.append([key, *map(format_metric, values), format_difference(*values)])
    for name, attribute, show in (
        ('parameters', 'params', format_count),
        ('MACs', 'macs', format_count),
        ('backbone MACs', 'backbone_macs', format_count),
        ('latency', 'latency_ms', format_ms),
        ('file size', 'file_bytes', format_bytes),
    ):
        values = [getattr(facts, attribute) for facts in (dense, compressed)]
        if values != [None, None]:
            rows.append([name, *map(show, values), format_change(*values)])
    return ['', 'dense', 'compressed', 'change'], rows


def _group_table(report: Report) -> tuple[list[str], list[list[object]]]:
    rows = [
        [
            group.name,
            group.total,
            group.asked,
            group.kept,
            format_change(group.total, group.kept),
            format_seconds(group.criterion_seconds),
        ]
        for group in report.groups
    ]
    return ['group', 'channels', 'asked', 'kept', 'change', 'criterion'], rows


def _step_table(report: Report) -> tuple[list[str], list[list[str]]]:
    key = _step_metric(report)
    first = report.steps[0].metrics.get(key)
    rows = []
    for step in report.steps:
        value = step.metrics.get(key)
        rows.append([step.label, format_metric(value), format_difference(first, value)])
    return ['step', key or 'metric', 'change'], rows


def _step_metric(report: Report) -> str | None:
    """Return the main metric that the steps share, None where none was measured."""
    for metrics in (report.dense.metrics, *(step.metrics for step in report.steps)):
        try:
            key = main_metric(metrics)
        except CompressionError:
            continue
        if any(_is_number(step.metrics.get(key)) for step in report.steps):
            return key
    return None


def _circumstances(report: Report) -> str:
    machine = report.hardware
    gpus = ', '.join(machine.get('gpus') or []) or 'no GPU'
    packages = ', '.join(f'{name} {v or MISSING}' for name, v in report.versions.items())
    return (
        f'Seed {report.seed}; {format_seconds(report.seconds)} on {machine.get("cpu")}, '
        f'{machine.get("cores")} cores, {machine.get("threads")} threads, {gpus}; {packages}.'
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _number(value: Any, default: float | None = math.nan) -> float | None:
    return float(value) if _is_number(value) else default
