"""PruningRunner: an mmengine runner that prunes a trained detector group by group.

Algorithm 1 of LCP (Xie et al., arXiv 1911.02237): for every layer, fine-tune the detector with
an auxiliary network on the next layer, select the channels that stay, update the next layer's
kernels, remove the others; at the end, retrain. Which criterion selects is a matter of config.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from mmdet_lcp.auxiliary.attached_detector import AttachedDetector, Attachment
from mmdet_lcp.compat.mmengine import starting_weights
from mmdet_lcp.copies import detached_copy
from mmdet_lcp.distillation.fitted_start import fit_transforms, unexplained_text
from mmdet_lcp.distillation.setup import MimicSetup
from mmdet_lcp.distillation.teacher_count import TeacherCountHook
from mmdet_lcp.engine.image_size import evaluation_loop
from mmdet_lcp.engine.phased_runner import on_cpu
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.engine.rehearsal import rehearse
from mmdet_lcp.engine.stage_scalars import add_stage_scalars
from mmdet_lcp.engine.staged_runner import StagedRunner
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan
from mmdet_lcp.graph.single_detector import check_single_config
from mmdet_lcp.pruning.config import KEY, PruningConfig
from mmdet_lcp.pruning.delivery import pruned_config
from mmdet_lcp.pruning.distill import distill
from mmdet_lcp.pruning.finish import PruningFinish, group_scalars
from mmdet_lcp.pruning.forecast import Forecast
from mmdet_lcp.pruning.frozen_layers import frozen_layer_messages
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.prepare import images_to_distill_on, left_alone, prepare_job
from mmdet_lcp.pruning.ratio_file import is_ratio_file
from mmdet_lcp.pruning.removal import remove_channels
from mmdet_lcp.pruning.share_out import share_out
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.registry import RUNNERS
from mmdet_lcp.report.facts import GroupFacts
from mmdet_lcp.seeds import derive, seeded
from mmdet_lcp.selection.loss_term import LossTerm
from mmdet_lcp.selection.norm_statistics import settle_statistics


@RUNNERS.register_module()
class PruningRunner(StagedRunner):
    """Prunes a detector as the config's `pruning` key says; see `PruningConfig`.

    Takes what mmengine's `Runner` takes, through ``runner_type='mmdet_lcp.PruningRunner'``.
    ``load_from`` names the trained detector. ``train()`` writes into ``work_dir``:
    ``pruned_config.py``, ``pruned.pth``, ``plan.json``, ``report.json``, ``report.md`` and
    pictures. Killed at any moment, a run goes on with ``resume=True`` and ends with the same
    plan.

    Raises:
        CompressionError: something in config, checkpoint or data has to be mended first.
    """

    state_folder = 'pruning_state'
    reads = (KEY,)

    def __init__(self, **kwargs: Any) -> None:
        cfg = kwargs.get('cfg') or {}
        self.pruning = PruningConfig.from_cfg(cfg)
        self.pruning.check_trials()
        if is_ratio_file(cfg[KEY].get('ratio')):  # a resumed run must not meet other ratios
            cfg[KEY]['ratio'] = self.pruning.ratio
        check_single_config(cfg.get('model'))
        super().__init__(**kwargs)

    @cached_property
    def job(self) -> PruningJob:
        """See `StagedRunner.job`: the groups that lose channels, and how many of them stay."""
        self.try_out()
        detector, dense = self.load_dense()
        self._check_ranks()
        target = self.pruning.target
        job = prepare_job(self, detector, dense, self.pruning, self._laid_out)
        if target is not None:
            job.share_out(self._allocation(job))
            self._tell_stages(job)
            self.logger.info(str(job.allocation))
        return job

    @cached_property
    def finish(self) -> PruningFinish:
        """See `StagedRunner.finish`."""
        method = self.pruning.method or type(self.pruning.criterion).__name__
        if self.pruning.retrain.mimic is not None:
            method = f'{method} with mimic'
        return PruningFinish(self, self.job, self.cfg, method)

    @cached_property
    def rounds(self) -> list[int]:
        """How often the attachment trains along before each stage; 0 where it goes on."""
        attachment, stages = self.pruning.attachment, self.job.stages
        return [1] * len(stages) if attachment is None else attachment.rounds(stages)

    @cached_property
    def mimic(self) -> MimicSetup | None:
        """What the retraining needs of a teacher."""
        config = self.pruning.retrain.mimic
        if config is None:
            return None
        job = self.job
        classes = (self.train_dataloader.dataset.metainfo or {}).get('classes')
        where = f'{KEY}.retrain.mimic'
        setup = MimicSetup(config, where, self.cfg, self.work_dir, job.dense, classes)
        setup.check(job.detector, job.image_size)
        return setup

    def try_out(self) -> None:
        """See `StagedRunner.try_out`: data and training."""
        self.build_phase_loop()
        evaluation_loop(self)
        self.check_training([self.pruning.finetune, self.pruning.retrain])

    def prepare(self) -> None:
        """Everything that must be right before hours of training begin."""
        job = self.job
        self.mimic  # noqa: B018  is checked when it is first asked for
        finetunes = [self.pruning.finetune.times(rounds) for rounds in self.rounds]
        self.plan_phases([*finetunes, self.pruning.retrain], len(job.stages))
        on_main(lambda: self.state.begin(self._fingerprint, self.seed, starting_weights(self)))
        if job.allocation is not None:
            on_main(lambda: self.state.save_target(job.allocation.to_dict()))
        self.call_hook('before_run')
        self._restore()

    def _allocation(self, job: PruningJob) -> Allocation:
        """How many channels of each group stay, so that the target is met; told once a run."""
        saved = on_main(self.state.load_target)
        if saved is not None:
            return Allocation(**saved)
        return share_out(job, self.pruning, Path(self.work_dir), self.logger.info)

    def _restore(self) -> None:
        """Begin, or go on where the last completed stage left the detector."""
        job = self.job
        saved = self.state.load_stage()
        if saved is None:
            self.begin()
            return
        job.plan = Plan.from_dict(saved['plan'])
        apply_plan(job.detector, job.plan)
        job.detector.load_state_dict(saved['detector'])
        job.facts = [GroupFacts(**facts) for facts in saved['groups']]
        self.resume_from(saved)
        if saved.get('attached') is not None:
            job.attached = self._attach(self.progress.stages_done - 1)
            job.attached.load_state_dict(saved['attached'])

    def run_stage(self, number: int) -> None:
        """Fine-tune, select, update, surgery; then write it down."""
        job = self.job
        stage = job.stages[number]
        group = stage.group
        self.logger.info(
            f'Stage {number + 1}/{len(job.stages)}: {group.name}, '
            f'{group.channels * group.unit} -> {stage.keep * group.unit} channels, '
            f'{self.time_text()}'
        )
        self._finetune(number)
        if 'finetuned' in self.pruning.evaluate and self.rounds[number]:
            self.record('finetuned', job.detector, group.name)
        seed = derive(self.seed, 'criterion', number)
        removal = remove_channels(job, stage, self.pruning, seed, self._trained_along())
        job.take(removal.plan, removal.facts)
        add_stage_scalars(self, group_scalars(job.facts), number + 1)
        count, log = len(removal.keep), removal.log
        shown = ', '.join(f'{key} {value:.3g}' for key, value in log.items())
        fewer = '' if count == stage.keep else f' {count * group.unit} channels'
        self.logger.info(f'{group.name}: selected{fewer} in {removal.seconds:.1f} s. {shown}')
        if 'selected' in self.pruning.evaluate:
            self.record('selected', job.detector, group.name)
        self.stage_done(number)

    def after_stages(self) -> None:
        """Settle the statistics of the batch norms, distill, then retrain the whole detector."""
        number = len(self.job.stages)
        if self.progress.stages_done == number:
            self._settle(number)
        self.logger.info(f'Retraining the pruned detector, {self.time_text()}')
        self.train_phase(number, self._with_teacher(number))

    def _settle(self, number: int) -> None:
        """What comes between the last stage and the retraining; done once, and written down."""
        job = self.job
        log = settle_statistics(job.detector, job.images.batches, self.pruning.norm_statistics)
        if log:
            shown = ', '.join(f'{key} {value:.3g}' for key, value in log.items())
            self.logger.info(f'Statistics of the batch norms: {shown}')
        self._distill()
        if 'pruned' in self.pruning.evaluate:
            self.finish.measure_pruned(job.detector)
        self.stage_done(number)

    def _distill(self) -> None:
        """Bring the outputs nearer to the dense detector's, if the config says so."""
        job, config = self.job, self.pruning.distill
        if config is None:
            return
        room = int(self.pruning.selection.cache_gb * 2**30)
        batches, tell = images_to_distill_on(self, job, self.pruning), self.logger.info
        distill(
            job.detector,
            job.dense,
            batches,
            config,
            self.seed,
            room,
            tell,
            self.state.load_distillation(),
            lambda data: on_main(lambda: self.state.save_distillation(data)),
        )
        if 'selected' in self.pruning.evaluate:
            self.record('distilled', job.detector)

    def _with_teacher(self, number: int) -> nn.Module:
        """What is retrained in phase ``number``: the detector, with a teacher if it has one."""
        job = self.job
        if self.mimic is None:
            return job.detector
        model = self.mimic.attach(job.detector, job.image_size, self.seed)
        for bridge in model.mimic.bridges:
            self.logger.info(f'Mimic: {bridge}')
        if self.mimic.config.start == 'fitted' and self.state.load_progress(number) is None:
            self.logger.info(unexplained_text(fit_transforms(model, job.images.batches)))
        self.register_hook(TeacherCountHook(model.mimic.teacher))
        return model

    def _finetune(self, number: int) -> None:
        """Train the detector, together with an attachment where it is this stage's turn."""
        job, attachment = self.job, self.pruning.attachment
        model = job.detector
        if attachment is not None and self.rounds[number]:
            job.attached = attached = self._attach(number)
            model = AttachedDetector(
                job.detector, {attached.name: attached}, attachment.detector_losses
            )
        self.train_phase(number, model)

    def _attach(self, number: int) -> Attachment:
        """A fresh attachment; the same weights each time."""
        with seeded(derive(self.seed, 'auxiliary', number)):
            return self.pruning.attachment.attach(self.job.detector, self.job.stages, number)

    def _trained_along(self) -> list[LossTerm]:
        """What the attachment adds to the loss of the selection problem."""
        return [] if self.job.attached is None else self.job.attached.for_selection()

    # ------------------------------------------------------------------ small things

    def stage_data(self, **more: Any) -> dict[str, Any]:
        """What a resumed run needs of the stages so far."""
        return super().stage_data(
            plan=self.job.plan.to_dict(),
            groups=[vars(facts) for facts in self.job.facts],
            attached=self._attached_state(),
            **more,
        )

    def _attached_state(self) -> dict[str, Any] | None:
        """The attachment's weights, if the next stage goes on with it."""
        done, attached = self.progress.stages_done, self.job.attached
        if attached is None or self.rounds[done : done + 1] != [0]:
            return None
        return on_cpu(attached.state_dict())

    def _laid_out(self, job: PruningJob) -> None:
        """Before anything that takes a while: what is handed out at the end can be opened."""
        plan = job.example_plan()
        pruned = apply_plan(detached_copy(job.detector), plan)
        rehearse(pruned_config(self.cfg, plan, Path(self.work_dir), pretty=False), pruned)
        if self.pruning.target is None:  # else it is told when it has been shared out
            self._tell_stages(job)

    def _tell_stages(self, job: PruningJob) -> None:
        self.logger.info(f'{len(job.stages)} groups of channels will be pruned:')
        for stage in job.stages:
            group, unit = stage.group, stage.group.unit
            blocks = '' if unit == 1 else f', {unit} at a time'
            self.logger.info(
                f'  {group.name}: {group.channels * unit} -> {stage.keep * unit}{blocks}'
            )
        for line in left_alone(job):
            self.logger.info(line)
        table, warning = on_main(lambda: self._told_beforehand(job))
        self.logger.info(f'What will go:\n{table}')
        if warning is not None:
            self.logger.warning(warning)
        statistics = self.pruning.norm_statistics
        for text in frozen_layer_messages(job.detector, job.stages, statistics):
            self.logger.warning(text)

    def _told_beforehand(self, job: PruningJob) -> tuple[str, str | None]:
        """What goes, as a table; and what is to be said where that is little."""
        forecast = Forecast(job.dense, job.groups, job.image_size)
        return forecast.table(job.stages), forecast.warning(job.stages, self.pruning)

    def _check_ranks(self) -> None:
        """Several ranks have to be told that not every parameter learns something.

        Raises:
            CompressionError: they are not.
        """
        attachment = self.pruning.attachment
        alone = attachment is not None and not attachment.detector_losses
        if alone and self.distributed and not self.cfg.get('find_unused_parameters'):
            raise CompressionError(
                f'{KEY}.attachment.detector_losses=False trains a part of the detector: with '
                'several ranks, set find_unused_parameters=True at the top of the config'
            )
