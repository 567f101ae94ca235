"""The end of a run: measure before and after, hand out the detector, write the report.

The detector that is measured last is read back from the files that are handed out. What these
files are, and what a report tells of the way there, is for subclasses to say.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import nn

from mmdet_lcp.datasets.label_names import label_meta
from mmdet_lcp.engine.command_line import command_line
from mmdet_lcp.engine.kept_detections import kept_detections
from mmdet_lcp.engine.measurement_notes import measurement_notes
from mmdet_lcp.engine.phase_loop import Phase
from mmdet_lcp.engine.progress import Progress
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.engine.settings import run_settings
from mmdet_lcp.engine.state import RunState
from mmdet_lcp.files import write_json
from mmdet_lcp.measure.cost import backbone_macs, detector_cost
from mmdet_lcp.measure.file_size import weight_bytes
from mmdet_lcp.measure.layer_costs import layer_costs
from mmdet_lcp.measure.pair_timing import PairTiming, time_pair
from mmdet_lcp.report.facts import DetectorFacts, LayerFacts
from mmdet_lcp.report.mistakes import Mistakes, noted
from mmdet_lcp.report.pictures import SCORE_THR
from mmdet_lcp.report.report import REPORT_JSON, SO_FAR_JSON, Report, read_report
from mmdet_lcp.report.report_pages import summary_text, write_report
from mmdet_lcp.report.run_pictures import write_run_pictures


class FinishingRunner(Protocol):
    """What the end of a run needs of its runner: data, folder, seed, and ways to measure."""

    work_dir: str
    seed: int
    state: RunState
    before: str
    phases: list[Phase]
    logger: Any
    train_dataloader: Any
    val_loop: Any
    test_loop: Any

    def evaluate(
        self, detector: nn.Module, loop_name: str, table: bool = False
    ) -> dict[str, float]:
        """See `PhasedRunner.evaluate`."""

    def record(self, step: str, detector: nn.Module, name: str | None = None) -> None:
        """See `StagedRunner.record`."""

    def stage_data(self, **more: Any) -> dict[str, Any]:
        """See `StagedRunner.stage_data`."""


class Finish(ABC):
    """Measures and reports for one runner.

    Attributes:
        after: what the run makes, in a word for its report.
        stage: what a stage of it is called.

    Args:
        runner: evaluates, and knows data, folder and seed.
        dense: the detector that the run began with.
        image_size: (height, width) in pixels.
    """

    after: ClassVar[str] = 'compressed'
    stage: ClassVar[str] = 'stage'

    def __init__(
        self, runner: FinishingRunner, dense: nn.Module, image_size: tuple[int, int]
    ) -> None:
        self.runner = runner
        self.work_dir = Path(runner.work_dir)
        self.image_size = image_size
        self.dense_detector = dense
        self.dense = DetectorFacts()
        self.timing: PairTiming | None = None
        self._mistakes: tuple[dict[str, Mistakes], dict[str, Mistakes]] = {}, {}

    @abstractmethod
    def deliver(self, meta: dict[str, Any]) -> None:
        """Write what is handed out; on one rank.

        Args:
            meta: goes into checkpoints: ``dataset_meta`` with the class names.
        """

    @abstractmethod
    def read_back(self) -> nn.Module:
        """The detector, built and loaded from what `deliver` wrote as any user of it would."""

    @property
    @abstractmethod
    def file(self) -> Path:
        """The file whose size counts as the compressed detector's."""

    @abstractmethod
    def told(self, compressed: DetectorFacts) -> dict[str, Any]:
        """The fields of a `Report` that only this kind of run has."""

    @abstractmethod
    def told_so_far(self) -> dict[str, Any]:
        """Those of these fields that are known while the run is under way; `method` is one."""

    def phases(self) -> list[tuple[str, Phase]]:
        """The trainings of the run, each with what it was for, in words."""
        return [('training', phase) for phase in self.runner.phases]

    def notes(self) -> list[str]:
        """What has to be known of how figures were measured; for the report."""
        busy = '' if self.timing is None else self.timing.busy
        has_test = getattr(self.runner, '_test_loop', None) is not None
        left_out = measurement_notes(self.runner, ('test' if has_test else 'val',))
        return [f'{line[:1].upper()}{line[1:]}.' for line in (*left_out, busy) if line]

    def settings(self) -> dict[str, str]:
        """What decided the result, by name, in words; for the report."""
        return run_settings(self.runner, self.phases())

    @property
    def done(self) -> bool:
        """Whether the run has ended before."""
        saved = self.runner.state.load_stage()
        return bool(saved and saved.get('finished'))

    def measure_dense(self) -> None:
        """Measure the detector that the run begins with."""
        with noted(self.dense_detector, SCORE_THR) as before:
            self.dense = self._measure(self.dense_detector, 'dense')
        self._mistakes = before, {}

    def data(self) -> dict[str, Any]:
        """What `load` takes."""
        mistakes = {name: (count.missed, count.wrong) for name, count in self._mistakes[0].items()}
        return {'dense': vars(self.dense), 'dense_mistakes': mistakes}

    def load(self, data: dict[str, Any]) -> None:
        """Take the measurements of an earlier process."""
        self.dense = DetectorFacts(**data['dense'])
        mistakes = data.get('dense_mistakes', {})  # states of earlier releases have none
        self._mistakes = {name: Mistakes(*count) for name, count in mistakes.items()}, {}

    def run(self, progress: Progress) -> nn.Module:
        """Hand out the compressed detector and report; returns it as it was read back.

        Args:
            progress: the run's record; the final measurement is added to it.
        """
        runner = self.runner
        on_main(lambda: self.deliver(self._meta()))
        detector = self.read_back()
        runner.record('final', detector)
        with noted(detector, SCORE_THR) as after:
            compressed = self._measure(detector, 'final', table=True)  # once a run is enough
        self._mistakes = self._mistakes[0], after
        compressed.file_bytes = self.file.stat().st_size
        self._time(detector, compressed)
        report = Report(
            seed=runner.seed,
            command=command_line(),
            seconds=progress.seconds,
            dense=self.dense,
            compressed=compressed,
            steps=progress.steps,
            layers=self.layers(detector),
            before=runner.before,
            after=self.after,
            settings=self.settings(),
            notes=self.notes(),
            **self.told(compressed),
        )
        on_main(lambda: self._write(report, detector))
        return detector

    def write_so_far(self, progress: Progress, stages: int) -> None:
        """Write down what is known of a run that is under way, for its page.

        Args:
            progress: the run's record.
            stages: of the whole run.
        """
        runner = self.runner
        report = Report(
            seed=runner.seed,
            command=command_line(),
            seconds=progress.seconds,
            dense=self.dense,
            compressed=DetectorFacts(),
            steps=progress.steps,
            stages=stages,
            stages_done=min(progress.stages_done, stages),
            stage=self.stage,
            before=runner.before,
            after=self.after,
            settings=self.settings(),
            **self.told_so_far(),
        )
        write_json(runner.state.folder / SO_FAR_JSON, report.to_dict())

    def show(self) -> nn.Module:
        """The result of a run that has ended before."""
        report = read_report(self.work_dir / REPORT_JSON)
        self.runner.logger.info('\n' + summary_text(report))
        return self.read_back()

    def metrics(self, detector: nn.Module, moment: str, table: bool = False) -> dict[str, float]:
        """Metrics on the test set, or on the validation set where there is no other.

        Args:
            detector: it.
            moment: of the run, as `file_of` takes it.
            table: show what the evaluator prints besides.
        """
        loop = 'test' if self.runner.test_loop is not None else 'val'
        with kept_detections(self.runner, moment):
            return self.runner.evaluate(detector, loop, table)

    def _write(self, report: Report, detector: nn.Module) -> None:
        runner = self.runner
        self.draw(detector)
        (runner.state.folder / SO_FAR_JSON).unlink(missing_ok=True)
        write_report(report, self.work_dir)
        self.ended()
        runner.logger.info('\n' + summary_text(report))
        runner.logger.info(f'Config, weights, report and pictures: {self.work_dir}')

    def draw(self, detector: nn.Module) -> None:
        """Write pictures of detections; on one rank.

        Args:
            detector: what is handed out.
        """
        runner = self.runner
        loop = runner.test_loop if runner.test_loop is not None else runner.val_loop
        write_run_pictures(
            self.dense_detector,
            detector,
            loop.dataloader.dataset,
            self.work_dir,
            runner.before,
            self._mistakes,
            self.after,
        )

    def ended(self) -> None:
        """Write down that the run has ended; on one rank."""
        self.runner.state.save_stage(self.runner.stage_data(finished=True))

    def size_of(self, detector: nn.Module) -> tuple[int, int]:
        """(height, width) in pixels of a detector's images."""
        return self.image_size

    def like(self, detector: nn.Module) -> nn.Module | None:
        """The detector on whose proposals a detector's costs are counted, see `detector_cost`."""
        return self.dense_detector

    def _time(self, detector: nn.Module, compressed: DetectorFacts) -> None:
        """Time both detectors in turn."""
        first = self.dense_detector
        self.timing = time_pair(first, detector, self.image_size, self.size_of(first))
        for facts, rounds in ((self.dense, self.timing.first), (compressed, self.timing.second)):
            facts.latency_ms = min(rounds)
            facts.latency_range_ms = [min(rounds), max(rounds)]
        if self.timing.busy:
            self.runner.logger.warning(self.timing.busy)

    def _meta(self) -> dict[str, Any]:
        """What goes into checkpoints beside weights."""
        return {'dataset_meta': label_meta(self.runner.train_dataloader.dataset)}

    def layers(self, detector: nn.Module) -> list[LayerFacts]:
        """What each layer costs before and after."""
        before = layer_costs(self.dense_detector, self.image_size)
        after = layer_costs(detector, self.image_size)
        return [
            LayerFacts(
                path,
                *(
                    (getattr(before[path], key), getattr(after[path], key))
                    for key in ('channels', 'params', 'macs', 'ms')
                ),
            )
            for path in before
            if path in after
        ]

    def _measure(self, detector: nn.Module, moment: str, table: bool = False) -> DetectorFacts:
        size = self.size_of(detector)
        return DetectorFacts(
            metrics=self.metrics(detector, moment, table),
            backbone_macs=backbone_macs(detector, size),
            file_bytes=weight_bytes(detector, self._meta()),
            **detector_cost(detector, size, self.like(detector)),
        )
