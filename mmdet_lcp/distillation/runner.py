"""MimicRunner: trains any detector as its config says, with a teacher beside it.

Li et al., "Mimicking Very Efficient Network for Object Detection" (CVPR 2017).
"""

import copy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch import nn

from mmdet_lcp import compat
from mmdet_lcp.compat.mmengine import (
    begins_anew,
    given_train_loader,
    hooks_left_out,
    launcher_of,
    take_average,
    validates,
)
from mmdet_lcp.config.handed_out import FURTHER, handed_out_config
from mmdet_lcp.config.names import named_config
from mmdet_lcp.config.top_level import check_top_level
from mmdet_lcp.config.unknown_types import types_told
from mmdet_lcp.distillation.config import KEY, read_mimic_of
from mmdet_lcp.distillation.finish import STUDENT_WEIGHTS, MimicFinish
from mmdet_lcp.distillation.fitted_start import fit_transforms, unexplained_text
from mmdet_lcp.distillation.mimic_detector import MimicDetector
from mmdet_lcp.distillation.record import STATE, MimicRecordHook
from mmdet_lcp.distillation.setup import MimicSetup
from mmdet_lcp.distillation.teacher_count import TeacherCountHook
from mmdet_lcp.engine.data_check import check_data
from mmdet_lcp.engine.finite_loss import FiniteLossHook
from mmdet_lcp.engine.image_size import deployed_image_size, evaluation_loop
from mmdet_lcp.engine.lock import rank_alone_in
from mmdet_lcp.engine.plain_checkpoints import PlainCheckpoints, plain_detector
from mmdet_lcp.engine.quiet import evaluated_on
from mmdet_lcp.engine.random_state import RandomStateHook
from mmdet_lcp.engine.rehearsal import rehearse
from mmdet_lcp.engine.resuming import begin_or_resume
from mmdet_lcp.engine.state import RunState
from mmdet_lcp.engine.training_check import built_from, check_optimizer, check_precision
from mmdet_lcp.registry import RUNNERS
from mmdet_lcp.report.facts import StepFacts
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.draw import draw_images
from mmdet_lcp.wrappers import unwrap


@RUNNERS.register_module()
class MimicRunner(PlainCheckpoints, Runner):
    """An mmengine `Runner` whose training has a teacher, as the config's `mimic` key says.

    Takes what `Runner` takes, through ``runner_type='mmdet_lcp.MimicRunner'``. Everything but the
    training is as without it: checkpoints hold the plain student (and beside it what resuming
    needs), and validation and testing run it alone. When training ends it writes into
    ``work_dir``: ``student.pth`` and ``student_config.py``, in which nothing of mimic is left; and
    ``report.json``, ``report.md``, ``report.html`` and pictures, which show the student beside
    the teacher.

    Attributes:
        state: the folder of what is written down for the report.

    Raises:
        CompressionError: something in the config, or about the teacher, has to be mended first.
    """

    before = 'teacher'

    def __init__(self, **kwargs: Any) -> None:
        self.state = RunState(kwargs['work_dir'], STATE)
        self._record: MimicRecordHook | None = None
        cfg = kwargs.get('cfg') or {}
        self.mimic_config = read_mimic_of(cfg)
        unread = check_top_level(cfg, (KEY,))
        check_precision(kwargs.get('optim_wrapper'))
        if kwargs.get('resume'):
            resume, load_from = begin_or_resume(kwargs['work_dir'], kwargs.get('load_from'))
            kwargs.update(resume=resume, load_from=load_from)
        with types_told():
            super().__init__(**kwargs)
        self.register_hook(FiniteLossHook())
        self.register_hook(RandomStateHook())
        if unread:
            self.logger.warning(f'Keys of the config that nothing reads: {", ".join(unread)}')

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'MimicRunner':
        """As mmengine builds runners; classes and functions in the config become names."""
        return super().from_cfg(named_config(cfg))

    def setup_env(self, env_cfg: dict) -> None:
        """As mmengine's, also for several ranks without CUDA."""
        if launcher_of(self) == 'pytorch':
            compat.init_cpu_process_group()
        super().setup_env(env_cfg)

    def train(self) -> nn.Module:
        """Train; returns the student."""
        with rank_alone_in(self.work_dir), types_told():
            return self._train()

    def _train(self) -> nn.Module:
        check_data(self)
        student = plain_detector(self.model)
        setup, size = self._setup(student)
        model = setup.attach(student, size, self.seed)
        for bridge in model.mimic.bridges:
            self.logger.info(f'Mimic: {bridge}')
        self.register_hook(TeacherCountHook(model.mimic.teacher))
        config = self._student_config()
        finish = MimicFinish(self, setup, student, size, config, self._training_text())
        self.register_hook(record := MimicRecordHook(finish))
        self._record = record
        self.model = self.wrap_model(self.cfg.get('model_wrapper_cfg'), model)
        super().train()
        for hook in self.hooks:
            if isinstance(hook, EMAHook):
                take_average(hook)
        finish.run(record.progress)
        return student

    def evaluate(
        self, detector: nn.Module, loop_name: str, table: bool = False
    ) -> dict[str, float]:
        """Metrics of a detector on the ``'val'`` or the ``'test'`` set; no hook hears of it.

        Args:
            detector: it.
            loop_name: which set.
            table: show what the evaluator prints besides.
        """
        trained, self.model = self.model, detector
        try:
            with hooks_left_out(self, (Hook,)):
                return evaluated_on(self, loop_name, table)
        finally:
            self.model = trained

    def record(self, step: str, detector: nn.Module, name: str | None = None) -> None:
        """Measure a detector on the validation set, as one step of the report.

        Args:
            step: one of `report.facts.STEPS`.
            detector: the detector at that moment.
            name: of the epoch.
        """
        if validates(self):
            found = self.evaluate(detector, 'val')
            self._record.add(StepFacts(step, name, found), self.iter)

    def try_out(self) -> None:
        """See `StagedRunner.try_out`: data, the teacher, and what is handed out.

        Raises:
            CompressionError: the run would not begin.
        """
        student = plain_detector(self.model)
        setup, size = self._setup(student)
        setup.check(student, size)

    def _setup(self, student: nn.Module) -> tuple[MimicSetup, tuple[int, int]]:
        """The teacher, and the size of the student's images; what else the run needs is there."""
        with built_from('optim_wrapper'):
            check_optimizer(self.cfg.optim_wrapper)
            self.build_optim_wrapper(copy.deepcopy(self.cfg.optim_wrapper))
        rehearse(self._student_config(pretty=False), student)
        size = deployed_image_size(self, student)
        loop = evaluation_loop(self)
        setup = MimicSetup(
            self.mimic_config,
            KEY,
            self.cfg,
            self.work_dir,
            classes=(loop.dataloader.dataset.metainfo or {}).get('classes'),
        )
        return setup, size

    def load_or_resume(self) -> None:
        """As mmengine's; then transforms begin fitted to the student, unless it is resumed."""
        begins = begins_anew(self)
        super().load_or_resume()
        model = unwrap(self.model)
        teaches = isinstance(model, MimicDetector)  # not while it is only tested
        if begins and teaches and self.mimic_config.start == 'fitted':
            loader = self.train_dataloader
            batches = draw_images(
                loader.dataset,
                model.detector,
                SelectionConfig(),
                given_train_loader(self)['batch_size'],
                self.seed,
            )
            self.logger.info(unexplained_text(fit_transforms(model, batches)))

    def _student_config(self, pretty: bool = True) -> Config:
        folder = Path(self.work_dir)
        return handed_out_config(
            self.cfg, (KEY,), folder / STUDENT_WEIGHTS, folder / FURTHER, pretty=pretty
        )

    def _training_text(self) -> str:
        """Length and rate, in words."""
        loop = self.cfg.train_cfg
        length = (
            f'{loop.max_epochs} epochs' if 'max_epochs' in loop else f'{loop.max_iters} iterations'
        )
        rate = (self.cfg.optim_wrapper.get('optimizer') or {}).get('lr')
        return length if rate is None else f'{length} at rate {rate:g}'
