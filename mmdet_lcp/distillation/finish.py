"""The end of a training with a teacher: the student is handed out, measured beside the teacher."""

import copy
from pathlib import Path
from typing import Any

from mmdet.registry import MODELS
from mmengine import dist
from mmengine.config import Config
from torch import nn

from mmdet_lcp.datasets.label_names import label_names
from mmdet_lcp.distillation.setup import MimicSetup
from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.engine.finish import Finish, FinishingRunner
from mmdet_lcp.engine.settings import run_settings
from mmdet_lcp.files import write_text
from mmdet_lcp.graph.forward import is_two_stage
from mmdet_lcp.graph.made_samples import num_classes
from mmdet_lcp.modes import evaluated
from mmdet_lcp.plain_weights import write_weights
from mmdet_lcp.report.facts import DetectorFacts, LayerFacts

STUDENT_CONFIG = 'student_config.py'
STUDENT_WEIGHTS = 'student.pth'


class MimicFinish(Finish):
    """Measures and reports for a `MimicRunner`; what others call dense is the teacher here.

    Args:
        runner: see `Finish`.
        setup: knows the teacher, and how it teaches.
        student: the detector that is trained.
        image_size: (height, width) in pixels of the student's images.
        config: what is handed out with the student's weights.
        training: length and rate of the training, in words.

    Attributes:
        not_evaluated: why the teacher has no metrics and is not seen in pictures; '' if it has.
    """

    after = 'student'

    def __init__(
        self,
        runner: FinishingRunner,
        setup: MimicSetup,
        student: nn.Module,
        image_size: tuple[int, int],
        config: Config,
        training: str,
    ) -> None:
        super().__init__(runner, setup.detector, image_size)
        self.setup, self.student = setup, student
        self.config, self.training = config, training
        self.not_evaluated = ''
        self.losses: list[Any] = []

    @property
    def file(self) -> Path:
        """The student's weights."""
        return self.work_dir / STUDENT_WEIGHTS

    def measure_dense(self) -> None:
        """Measure the teacher on the student's data, where that is of any use.

        A teacher whose head cannot be judged on them still teaches: it is measured without.
        """
        self.not_evaluated = self._cannot_be_judged()
        try:
            super().measure_dense()
        except Exception as error:
            if dist.get_world_size() > 1:  # the other ranks would wait for this one
                raise
            self.not_evaluated = f'{type(error).__name__}: {error}'
            super().measure_dense()  # what it costs
        if self.not_evaluated:
            self.dense.evaluated = False
            self.runner.logger.warning(self._note())

    def metrics(self, detector: nn.Module, moment: str, table: bool = False) -> dict[str, float]:
        """See `Finish.metrics`; none of a teacher that cannot be judged."""
        if detector is self.dense_detector and self.not_evaluated:
            return {}
        return super().metrics(detector, moment, table)

    def data(self) -> dict[str, Any]:
        """See `Finish.data`."""
        return {**super().data(), 'not_evaluated': self.not_evaluated}

    def load(self, data: dict[str, Any]) -> None:
        """See `Finish.load`."""
        super().load(data)
        self.not_evaluated = data['not_evaluated']

    def notes(self) -> list[str]:
        """See `Finish.notes`; and why the teacher was not evaluated."""
        return [*([self._note()] if self.not_evaluated else []), *super().notes()]

    def settings(self) -> dict[str, str]:
        """The teacher, how it teaches, the training, and those of any run."""
        mimic, teacher = self.setup.config, self.setup.config.teacher
        own = run_settings(self.runner, [])
        own['began with'] = str(self.runner.cfg.get('load_from') or 'weights as its config says')
        return {
            'teacher': f'{teacher.config}, {teacher.checkpoint}',
            'mimic': mimic.in_words(),
            'training': self.training,
            **own,
        }

    def deliver(self, meta: dict[str, Any]) -> None:
        """Write the student's weights and config, each atomically."""
        write_weights(self.file, self.student.state_dict(), meta)
        write_text(self.work_dir / STUDENT_CONFIG, self.config.pretty_text)

    def read_back(self) -> nn.Module:
        """The student, built and loaded as any user of it would."""
        detector = MODELS.build(copy.deepcopy(self.config.model))
        load_detector(detector, self.file)
        return evaluated(detector.to(next(self.student.parameters()).device))

    def told(self, compressed: DetectorFacts) -> dict[str, Any]:
        """See `told_so_far`."""
        return self.told_so_far()

    def told_so_far(self) -> dict[str, Any]:
        """The method, and the losses."""
        return dict(method='Mimic', losses=self.losses)

    def layers(self, detector: nn.Module) -> list[LayerFacts]:
        """None: layers of two architectures may share a path and nothing else."""
        return []

    def draw(self, detector: nn.Module) -> None:
        """See `Finish.draw`; nothing beside a teacher that cannot be judged."""
        if not self.not_evaluated:
            super().draw(detector)

    def ended(self) -> None:
        """See `Finish.ended`: mmengine's checkpoints tell it."""

    def size_of(self, detector: nn.Module) -> tuple[int, int]:
        """See `Finish.size_of`: the teacher's images may be larger."""
        if detector is not self.dense_detector:
            return self.image_size
        return tuple(round(side / self.setup.config.image_scale) for side in self.image_size)

    def like(self, detector: nn.Module) -> nn.Module | None:
        """See `Finish.like`: the teacher's proposals, where both have some in one image."""
        teacher = self.dense_detector
        alike = is_two_stage(teacher) and is_two_stage(detector)
        return teacher if alike and self.size_of(teacher) == self.image_size else None

    def _cannot_be_judged(self) -> str:
        """Why the teacher's detections mean nothing on the student's data; '' if they do."""
        teacher, student = self.dense_detector, self.student
        if self.size_of(teacher) != self.image_size:
            return 'the images of the test set have the size of the student, whose are smaller'
        own, taught = label_names(self.runner.train_dataloader.dataset), self.setup.taught
        others = taught and own and list(taught) != list(own)
        if others or num_classes(teacher) != num_classes(student):
            return 'it knows other classes than the student, or in another order'
        if student.with_mask and not teacher.with_mask:
            return 'it finds no masks'
        return ''

    def _note(self) -> str:
        return f'The teacher was not evaluated, and is in no picture: {self.not_evaluated}.'
