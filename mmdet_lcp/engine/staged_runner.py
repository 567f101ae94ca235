"""StagedRunner: a detector is changed stage by stage, each written down before the next begins.

What a stage does to the detector is for subclasses to say.
"""

import copy
import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import nn

from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.engine.finish import Finish
from mmdet_lcp.engine.image_size import deployed_image_size
from mmdet_lcp.engine.phased_runner import PhasedRunner, on_cpu, unwrap
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.report.report import StepFacts
from mmdet_lcp.report.tables import format_seconds


class StagedRunner(PhasedRunner):
    """Runs stages in order, from a trained detector to what is handed out.

    Attributes:
        detector: the detector that is being changed.
        dense: the one that the run began with, frozen.
        image_size: (height, width) in pixels of the images that the detector is deployed on.
        stages: in order.
        steps: what was measured along the way.
    """

    detector: nn.Module
    dense: nn.Module
    image_size: tuple[int, int]
    stages: Sequence[Any]
    steps: list[StepFacts]
    _finish: Finish

    def train(self) -> nn.Module:
        """Run all stages; returns the detector that is handed out, a plain mmdet one."""
        self.require_own_state()
        self._started = time.time()
        self._prepare()
        if self._finish.done:
            self.logger.info('This run has ended before; nothing is left to do.')
            return self._finish.show()
        while self._stages_done < len(self.stages):
            with self.pace.stage():
                self._run_stage(self._stages_done)
        self._after_stages()
        detector = self._finish.run(self._elapsed())
        self.call_hook('after_run')
        return detector

    @abstractmethod
    def _prepare(self) -> None:
        """Everything that must be right before hours of training begin."""

    @abstractmethod
    def _run_stage(self, number: int) -> None:
        """Run a stage, and write it down."""

    def _after_stages(self) -> None:
        """What is left to do when all stages are complete."""

    def _load_dense(self) -> None:
        """Set `detector`, `dense` and `image_size`."""
        self.detector = unwrap(self.model)
        if self.state.exists:
            with self.state.reading('dense.pth') as checkpoint:
                load_detector(self.detector, checkpoint)
        else:
            load_detector(self.detector, self._load_from)
        self.dense = copy.deepcopy(self.detector).eval().requires_grad_(False)
        self.image_size = deployed_image_size(self, self.detector)

    def _begin(self) -> None:
        """Begin with the first stage: the dense detector is measured."""
        self.steps = []
        self._stages_done, self._seconds_before = 0, 0.0
        self.logger.info('Measuring the dense detector')
        self._finish.measure_dense()
        self.record('dense', self.dense)
        self._save_stage()

    def _resume_from(self, saved: dict[str, Any]) -> None:
        """Take the records of an earlier process."""
        self.steps = [StepFacts(**step) for step in saved['steps']]
        self._stages_done, self._seconds_before = saved['stages_done'], saved['seconds']
        self._finish.load(saved['measured'])
        done = min(self._stages_done, len(self.stages))
        self.logger.info(f'Resumed after {done} of {len(self.stages)} stages')

    def record(self, step: str, detector: nn.Module, name: str | None = None) -> None:
        """Measure a detector on the validation set, as one step of the report.

        Args:
            step: one of `analysis.report.STEPS`.
            detector: the detector at that moment.
            name: of the group or stage.
        """
        if self._val_loop is not None:
            self.steps.append(StepFacts(step, name, self.evaluate(detector, 'val')))

    def _save_stage(self) -> None:
        on_main(lambda: self.state.save_stage(self.stage_data()))

    def stage_data(self, **more: Any) -> dict[str, Any]:
        """What a resumed run needs of the stages so far."""
        return {
            'stages_done': self._stages_done,
            'detector': on_cpu(self.detector.state_dict()),
            'steps': [vars(step) for step in self.steps],
            'measured': self._finish.data(),
            'seconds': self._elapsed(),
            **more,
        }

    def _elapsed(self) -> float:
        return self._seconds_before + time.time() - self._started

    def _time_text(self) -> str:
        text = f'{format_seconds(self._elapsed())} elapsed'
        left = self.pace.seconds_left(self._stages_done, self.iter)
        if left is None:
            return text
        text = f'{text}, about {format_seconds(left)} left'
        if not self.pace.knows_training and self.iter < self.max_iters:
            text += f' before {self.max_iters - self.iter} iterations of training'
        return text
