"""StagedRunner: a detector is changed stage by stage, each written down before the next begins.

What a stage does to the detector is for subclasses to say. What a run works on is its job; how
far it is, its progress.
"""

import time
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from torch import nn

from mmdet_lcp.compat.mmengine import validates
from mmdet_lcp.config.unknown_types import types_told
from mmdet_lcp.engine.finish import Finish
from mmdet_lcp.engine.finite_loss import check_weights
from mmdet_lcp.engine.phased_runner import PhasedRunner, on_cpu
from mmdet_lcp.engine.progress import Progress
from mmdet_lcp.engine.progress_line import ProgressLine, progress_line
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.engine.stage_scalars import add_stage_scalars
from mmdet_lcp.report.facts import StepFacts
from mmdet_lcp.report.tables import format_seconds
from mmdet_lcp.selection.soundness import broken_weights


class Job(Protocol):
    """What any staged run works on.

    Attributes:
        dense: the detector that the run began with, frozen.
        detector: the one that is being changed.
        image_size: (height, width) in pixels of the images that it is deployed on.
        stages: in order.
    """

    dense: nn.Module
    detector: nn.Module
    image_size: tuple[int, int]
    stages: Sequence[Any]


class StagedRunner(PhasedRunner):
    """Runs stages in order, from a trained detector to what is handed out.

    Attributes:
        progress: how far the run is.
        before: what the run begins with, in a word for its report; a chain says what its link
            before has made.
    """

    before: str

    def __init__(self, **kwargs: Any) -> None:
        self.progress = Progress()
        kind = ((kwargs.get('cfg') or {}).get('model') or {}).get('type')
        pruned = getattr(kind, '__name__', str(kind)).endswith('PrunedDetector')
        self.before = 'pruned' if pruned else 'dense'
        super().__init__(**kwargs)

    @cached_property
    @abstractmethod
    def job(self) -> Job:
        """What the run works on: everything that must be right before hours of training begin.

        Prepared when it is first asked for.
        """

    @cached_property
    @abstractmethod
    def finish(self) -> Finish:
        """What measures, hands out and reports."""

    @abstractmethod
    def try_out(self) -> None:
        """Build what the run needs, as far as that takes seconds; a chain does it long before.

        Raises:
            CompressionError: the run would not begin.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Lay out the training, and begin or resume."""

    @abstractmethod
    def run_stage(self, number: int) -> None:
        """Run a stage, and write it down."""

    def after_stages(self) -> None:
        """What is left to do when all stages are complete."""

    def train(self) -> nn.Module:
        """Run all stages; returns the detector that is handed out, a plain mmdet one."""
        self.require_own_state()
        with self.alone(), types_told():
            return self._train()

    def _train(self) -> nn.Module:
        self.progress.started = time.time()
        self.prepare()
        if self.finish.done:
            self.logger.info('This run has ended before; nothing is left to do.')
            return self.finish.show()
        with progress_line(self) as line:
            while self.progress.stages_done < len(self.job.stages):
                self.show_progress(line, self.iter)
                with self.pace.stage():
                    self.run_stage(self.progress.stages_done)
            self.after_stages()
        detector = self.finish.run(self.progress)
        self.call_hook('after_run')
        return detector

    def begin(self) -> None:
        """Begin with the first stage: the dense detector is measured."""
        self.logger.info('Measuring the dense detector')
        self.finish.measure_dense()
        self.record('dense', self.job.dense)
        self.save_stage()

    def resume_from(self, saved: dict[str, Any]) -> None:
        """Take the records of an earlier process."""
        self.progress.load(saved)
        self.finish.load(saved['measured'])
        done = min(self.progress.stages_done, len(self.job.stages))
        self.logger.info(f'Resumed after {done} of {len(self.job.stages)} stages')

    def record(self, step: str, detector: nn.Module, name: str | None = None) -> None:
        """Measure a detector on the validation set, as one step of the report.

        Args:
            step: one of `report.facts.STEPS`.
            detector: the detector at that moment.
            name: of the group or stage.
        """
        if validates(self):
            metrics = self.evaluate(detector, 'val')
            self.progress.steps.append(StepFacts(step, name, metrics))
            begun = self.progress.stages_done + (name is not None)
            add_stage_scalars(self, metrics, min(begun, len(self.job.stages)))

    def stage_done(self, number: int) -> None:
        """Count a stage, and write everything down.

        Raises:
            CompressionError: the stage has left weights that are not finite; it is not written.
        """
        check_weights(self.job.detector, broken_weights(self.job.dense))
        self.progress.stages_done = number + 1
        self.save_stage()

    def save_stage(self) -> None:
        """Write down where the run is."""
        on_main(self._save_stage)

    def _save_stage(self) -> None:
        self.state.save_stage(self.stage_data())
        self.finish.write_so_far(self.progress, len(self.job.stages))

    def stage_data(self, **more: Any) -> dict[str, Any]:
        """What a resumed run needs of the stages so far."""
        return {
            **self.progress.to_dict(),
            'detector': on_cpu(self.job.detector.state_dict()),
            'measured': self.finish.data(),
            **more,
        }

    def show_progress(self, line: ProgressLine, done: int) -> None:
        """Draw how far the run is.

        Args:
            line: where.
            done: iterations of training that are done.
        """
        if not line.visible:
            return
        stages, number = self.job.stages, self.progress.stages_done
        words = f'iteration {done}/{self.max_iters}'
        if number < len(stages):
            words = f'stage {number + 1}/{len(stages)} {stages[number].name}, {words}'
        line.show(words, self.progress.seconds, self.pace.seconds_left(number, done))

    def time_text(self) -> str:
        """How long the run has taken, and about how long it will."""
        text = f'{format_seconds(self.progress.seconds)} elapsed'
        left = self.pace.seconds_left(self.progress.stages_done, self.iter)
        if left is None:
            return text
        text = f'{text}, about {format_seconds(left)} left'
        if not self.pace.knows_training and self.iter < self.max_iters:
            text += f' before {self.max_iters - self.iter} iterations of training'
        return text
