"""The report of one compression run as data: what it cost, what it kept, how to repeat it.

``report.json`` holds it for programs; the pages for people are made from it elsewhere.
"""

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json
from mmdet_lcp.measure.hardware import hardware, versions
from mmdet_lcp.measure.metrics import found_nothing, with_zeros
from mmdet_lcp.report.facts import (
    DetectorFacts,
    GroupFacts,
    LayerFacts,
    LossFacts,
    SkippedLayer,
    StepFacts,
    TargetFacts,
    WeightFacts,
)
from mmdet_lcp.report.typed import check_types

REPORT_JSON = 'report.json'
REPORT_MD = 'report.md'
REPORT_HTML = 'report.html'
SO_FAR_JSON = 'so_far.json'  # in the folder of a run's state, until it ends
STEPS_PNG = 'steps.png'
SHARES_PNG = 'shares.png'
LOSSES_PNG = 'losses.png'
DETECTIONS_PNG = 'detections.png'


@dataclass
class Report:
    """All that is written down about one compression run.

    Attributes:
        method: Short name of the method (``'LCP'``).
        before: What the run began with, in a word: ``'dense'``, or what an earlier link made; or
            what it is compared with, ``'teacher'``.
        after: What the run has made, in a word: ``'compressed'``, ``'student'``.
        seed: Random seed of the run.
        command: The command line that repeats it.
        seconds: Wall time of the whole run.
        dense: The detector before.
        compressed: The detector after.
        groups: One entry a channel group, in the order of pruning.
        skipped: What was left alone.
        steps: The metrics along the run, in order.
        pruned_metrics: Those of the detector after the last selection, before it was retrained.
        weights: One entry a tensor of the packed file, in its order; empty without such a file.
        layers: One entry a layer that both detectors have, in the order in which they first run;
            empty in reports of earlier releases.
        losses: The loss terms along the training, in order; empty where they were not kept.
        stages: Stages of the whole run, ...
        stages_done: ... and those that are complete. Both are None in the report of a run that
            has ended.
        stage: What a stage is called.
        target: What was asked for instead of a ratio, None where a ratio was given.
        notes: What has to be known of how figures were measured: a busy machine.
        settings: What else decided the result, by name, in words: training, teacher, ranks ...
        versions: Package -> version; those of this process unless given.
        hardware: See :func:`hardware`; those of this machine unless given.
    """

    method: str
    seed: int | None
    command: str
    seconds: float | None
    dense: DetectorFacts
    compressed: DetectorFacts
    groups: list[GroupFacts] = field(default_factory=list)
    skipped: list[SkippedLayer] = field(default_factory=list)
    steps: list[StepFacts] = field(default_factory=list)
    pruned_metrics: dict[str, float] = field(default_factory=dict)
    weights: list[WeightFacts] = field(default_factory=list)
    layers: list[LayerFacts] = field(default_factory=list)
    losses: list[LossFacts] = field(default_factory=list)
    stages: int | None = None
    stages_done: int | None = None
    stage: str = 'stage'
    target: TargetFacts | None = None
    before: str = 'dense'
    after: str = 'compressed'
    settings: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str | None] = field(default_factory=lambda: versions())
    hardware: dict[str, Any] = field(default_factory=lambda: hardware())

    def __post_init__(self) -> None:
        """What an evaluator does not tell of a detector that has found nothing is 0."""
        dense, compressed = self.dense.metrics, self.compressed.metrics
        if self.dense.evaluated:
            self.dense.metrics = with_zeros(dense, [compressed])
        if self.stages is None:  # else nobody has looked yet
            self.compressed.metrics = with_zeros(compressed, [dense])
        told = [step.metrics for step in self.steps]
        for step in self.steps:
            step.metrics = with_zeros(step.metrics, told)

    def remarks(self) -> list[str]:
        """Sentences on figures that need a reason: how they were measured, and why they are 0."""
        return [
            *self.notes,
            *(
                f'Every metric of the {name} detector is 0: it finds nothing above its own score '
                'threshold, or nothing that is right. The log says where nothing was found.'
                for name, metrics in (
                    (self.before, self.dense.metrics),
                    (self.after, self.compressed.metrics),
                )
                if found_nothing(metrics)
            ),
        ]

    def file_steps(self) -> list[tuple[str, int]]:
        """Bytes of the weights after each kind of compression, and of the file at the end.

        Returns:
            Pairs of what was done, in words, and bytes; kinds that save nothing are left out. No
            pairs without a packed file.
        """
        if not self.weights or self.compressed.file_bytes is None:
            return []
        steps = [(self.before, sum(facts.bytes_before for facts in self.weights))]
        for words, key in (
            ('zeros left out, values as they are', 'bytes_sparse'),
            ('shared values as indices', 'bytes_shared'),
        ):
            sizes = [getattr(facts, key) for facts in self.weights]
            if None not in sizes and sum(sizes) < steps[-1][1]:
                steps.append((words, sum(sizes)))
        return [*steps, ('coded: the file, with config', self.compressed.file_bytes)]

    def label_of(self, step: StepFacts) -> str:
        """A step in words, as :attr:`StepFacts.label`."""
        return self.before if step.step == 'dense' else step.label

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
            data['weights'] = [WeightFacts(**row) for row in data.get('weights', [])]
            data['losses'] = [LossFacts(**row) for row in data.get('losses', [])]
            data['layers'] = [LayerFacts(**row) for row in data.get('layers', [])]
            if data.get('target') is not None:
                data['target'] = TargetFacts(**data['target'])
            data['steps'] = [StepFacts(**row) for row in data.get('steps', [])]
            report = cls(**data)
            check_types(report)
            _check_ranges(report)
            return report
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CompressionError(f'this is no report of a compression run: {error}') from error


def _check_ranges(report: Report) -> None:
    """Raise a ValueError for a range that is not the smallest and the largest value."""
    ranges = {
        'dense.latency_range_ms': report.dense.latency_range_ms,
        'compressed.latency_range_ms': report.compressed.latency_range_ms,
        'target.reached_range': report.target and report.target.reached_range,
    }
    for key, found in ranges.items():
        if found is not None and len(found) != 2:
            raise ValueError(f'{key} has {len(found)} numbers, not two')


def read_report(path: str | os.PathLike) -> Report:
    """Read a ``report.json``, named itself or by its folder.

    Raises:
        CompressionError: There is none, or it is no report.
    """
    path = Path(path)
    if path.is_dir():
        path = path / REPORT_JSON
    if not path.exists():
        raise CompressionError(f'{path}: there is no such report; it is written when a run ends.')
    data = read_json(path)
    try:
        return Report.from_dict(data)
    except CompressionError as error:
        raise CompressionError(f'{path}: {error}') from error
