"""PruningRunner: an mmengine runner that prunes a trained detector group by group.

Algorithm 1 of LCP (Xie et al., arXiv 1911.02237): for every layer, fine-tune the detector with
an auxiliary network on the next layer, select the channels that stay, update the next layer's
kernels, remove the others; at the end, retrain. Which criterion selects is a matter of config.
"""

from pathlib import Path
from typing import Any

from torch import nn

from mmdet_lcp.auxiliary.attached_detector import AttachedDetector, Attachment
from mmdet_lcp.distillation.fitted_start import fit_transforms, unexplained_text
from mmdet_lcp.distillation.setup import MimicSetup
from mmdet_lcp.distillation.teacher_count import TeacherCountHook
from mmdet_lcp.engine.pace import Pace
from mmdet_lcp.engine.phased_runner import on_cpu
from mmdet_lcp.engine.preflight import readable
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.engine.staged_runner import StagedRunner
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups
from mmdet_lcp.graph.following_norms import following_norms
from mmdet_lcp.pruning.config import KEY, PruningConfig, is_ratio_file
from mmdet_lcp.pruning.finish import PruningFinish
from mmdet_lcp.pruning.frozen_layers import frozen_layer_messages
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.removal import remove_channels
from mmdet_lcp.pruning.stages import choose_stages, with_counts
from mmdet_lcp.pruning.targets.planner import Allocation, TargetPlanner
from mmdet_lcp.pruning.targets.removal_costs import group_removal_costs
from mmdet_lcp.registry import RUNNERS
from mmdet_lcp.report.report import GroupFacts
from mmdet_lcp.seeds import derive, seeded
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

    def __init__(self, **kwargs: Any) -> None:
        cfg = kwargs.get('cfg') or {}
        self.pruning = PruningConfig.from_cfg(cfg)
        if is_ratio_file(cfg[KEY].get('ratio')):  # a resumed run must not meet other ratios
            cfg[KEY]['ratio'] = self.pruning.ratio
        super().__init__(**kwargs)

    def _prepare(self) -> None:
        """Everything that must be right before hours of training begin."""
        self._prepare_groups()
        allocation = None
        if self.pruning.target is not None:
            allocation = self._share_out()
            self.stages, whole = with_counts(self.stages, allocation.counts)
            self.skipped += whole
            self._tell_stages()
            self.logger.info(str(allocation))
        self.rounds = [1] * len(self.stages)
        if self.pruning.attachment is not None:
            self.rounds = self.pruning.attachment.rounds(self.stages)
        consumers = [m.path for stage in self.stages for m in stage.group.consumers]
        self.selection_set.expect(consumers, self.dense)
        finetunes = [self.pruning.finetune.times(rounds) for rounds in self.rounds]
        self.plan_phases([*finetunes, self.pruning.retrain])
        self.pace = Pace(len(self.stages), self.max_iters)
        on_main(lambda: self.state.begin(self._fingerprint, self.seed, self._load_from))
        if allocation is not None:
            on_main(lambda: self.state.save_target(allocation.to_dict()))
        self.allocation = allocation
        self.call_hook('before_run')
        self._finish = PruningFinish(self)
        self._restore()

    def _prepare_groups(self) -> None:
        """The dense detector, the groups that lose channels, and the selection images."""
        self.build_phase_loop()
        self._load_dense()
        self._mimic = self._mimic_setup()
        self.groups = find_groups(self.detector, self.image_size)
        self.stages, self.skipped = choose_stages(self.detector, self.groups, self.pruning)
        self.totals = axis_sizes(self.detector, [stage.group for stage in self.stages])
        for stage in self.stages:
            self.pruning.criterion.check(self.dense, stage.group)
            self.pruning.update.check(self.dense, stage.group)
        if self.pruning.target is None:
            self._tell_stages()
        sampler = None
        attachment = self.pruning.attachment
        if attachment is not None:
            sampler = attachment.sampler(self.dense)
            attachment.check(self.detector, self.stages)
            self._check_ranks()
        self.message_hub.update_info('epoch', 0)  # some heads match by it
        loader = self.train_dataloader
        with readable('train_dataloader'):
            self.selection_set = SelectionSet.draw(
                loader.dataset,
                self.dense,
                self.pruning.selection,
                loader.batch_size or self._train_dataloader['batch_size'],
                self.seed,
                sampler,
                following_norms(self.dense, self.image_size),
            )
        consumers = [m.path for stage in self.stages for m in stage.group.consumers]
        self.selection_set.expect(consumers, self.dense)

    def _share_out(self) -> Allocation:
        """How many channels of each group stay, so that the target is met; told once a run."""
        saved = on_main(self.state.load_target)
        if saved is not None:
            return Allocation(**saved)
        pruning = self.pruning
        planner: TargetPlanner | None = None

        def prepare() -> None:
            nonlocal planner
            planner = TargetPlanner(
                pruning.target,
                self.stages,
                self.dense,
                self.image_size,
                Path(self.work_dir),
                self.logger.info,
            )

        on_main(prepare)
        costs = group_removal_costs(
            pruning.criterion,
            self.selection_set,
            pruning.objective,
            self.dense,
            self.detector,
            self.stages,
            self.seed,
            self.logger.info,
        )
        priced = pruning.criterion.priced
        found = on_main(lambda: planner.share_out(costs, priced).to_dict())
        return Allocation(**found)

    def _restore(self) -> None:
        """Begin, or go on where the last completed stage left the detector."""
        saved = self.state.load_stage()
        self._attached: Attachment | None = None
        if saved is None:
            self.plan = Plan()
            self.group_facts: list[GroupFacts] = []
            self._begin()
            return
        self.plan = Plan.from_dict(saved['plan'])
        apply_plan(self.detector, self.plan)
        self.detector.load_state_dict(saved['detector'])
        self.group_facts = [GroupFacts(**facts) for facts in saved['groups']]
        self._resume_from(saved)
        if saved.get('attached') is not None:
            self._attached = self._attach(self._stages_done - 1)
            self._attached.load_state_dict(saved['attached'])

    def _run_stage(self, number: int) -> None:
        """Fine-tune, select, update, surgery; then write it down."""
        stage = self.stages[number]
        group = stage.group
        self.logger.info(
            f'Stage {number + 1}/{len(self.stages)}: {group.name}, '
            f'{group.channels * group.unit} -> {stage.keep * group.unit} channels, '
            f'{self._time_text()}'
        )
        self._finetune(number)
        if 'finetuned' in self.pruning.evaluate and self.rounds[number]:
            self.record('finetuned', self.detector, group.name)

        removal = remove_channels(
            stage,
            self.pruning,
            self.pruning.objective,
            self.selection_set,
            self.dense,
            self.detector,
            self.plan,
            self.totals,
            derive(self.seed, 'criterion', number),
            self._trained_along(),
        )
        self.plan = removal.plan
        count, seconds, log = len(removal.keep), removal.seconds, removal.log
        self.group_facts.append(
            GroupFacts(
                group.name,
                group.channels * group.unit,
                stage.asked * group.unit,
                count * group.unit,
                seconds,
                log,
            )
        )
        shown = ', '.join(f'{key} {value:.3g}' for key, value in log.items())
        fewer = '' if count == stage.keep else f' {count * group.unit} channels'
        self.logger.info(f'{group.name}: selected{fewer} in {seconds:.1f} s. {shown}')
        if 'selected' in self.pruning.evaluate:
            self.record('selected', self.detector, group.name)
        self._stages_done = number + 1
        self._save_stage()

    def _after_stages(self) -> None:
        """Settle the statistics of the batch norms, then retrain the whole detector."""
        if self._stages_done == len(self.stages):
            self._settle()
        number = len(self.stages)
        self.logger.info(f'Retraining the pruned detector, {self._time_text()}')
        self.train_phase(number, self._with_teacher(number))

    def _settle(self) -> None:
        """What comes between the last stage and the retraining; done once, and written down."""
        log = settle_statistics(
            self.detector, self.selection_set.batches, self.pruning.norm_statistics
        )
        if log:
            shown = ', '.join(f'{key} {value:.3g}' for key, value in log.items())
            self.logger.info(f'Statistics of the batch norms: {shown}')
        if 'pruned' in self.pruning.evaluate:
            self._finish.measure_pruned(self.detector)
        self._stages_done = len(self.stages) + 1
        self._save_stage()

    def _mimic_setup(self) -> MimicSetup | None:
        """What the retraining needs of a teacher, checked before anything is trained."""
        config = self.pruning.retrain.mimic
        if config is None:
            return None
        classes = (self.train_dataloader.dataset.metainfo or {}).get('classes')
        where = f'{KEY}.retrain.mimic'
        setup = MimicSetup(config, where, self.cfg, self.work_dir, self.dense, classes)
        setup.check(self.detector, self.image_size)
        return setup

    def _with_teacher(self, number: int) -> nn.Module:
        """What is retrained in phase ``number``: the detector, with a teacher if it has one."""
        if self._mimic is None:
            return self.detector
        model = self._mimic.attach(self.detector, self.image_size, self.seed)
        for bridge in model.mimic.bridges:
            self.logger.info(f'Mimic: {bridge}')
        if self._mimic.config.start == 'fitted' and self.state.load_progress(number) is None:
            fitted = fit_transforms(model, self.selection_set.batches)
            self.logger.info(unexplained_text(fitted))
        self.register_hook(TeacherCountHook(model.mimic.teacher))
        return model

    def _finetune(self, number: int) -> None:
        """Train the detector, together with an attachment where it is this stage's turn."""
        attachment = self.pruning.attachment
        model = self.detector
        if attachment is not None and self.rounds[number]:
            self._attached = attached = self._attach(number)
            model = AttachedDetector(
                self.detector, {attached.name: attached}, attachment.detector_losses
            )
        self.train_phase(number, model)

    def _attach(self, number: int) -> Attachment:
        """A fresh attachment; the same weights each time."""
        with seeded(derive(self.seed, 'auxiliary', number)):
            return self.pruning.attachment.attach(self.detector, self.stages, number)

    def _trained_along(self) -> dict[str, nn.Module | None]:
        """What the selection problem gets of the attachment."""
        given = {} if self._attached is None else self._attached.for_selection()
        return {'auxiliary': None, **given}

    def _attached_state(self) -> dict[str, Any] | None:
        """The attachment's weights, if the next stage goes on with it."""
        following = self.rounds[self._stages_done : self._stages_done + 1]
        if self._attached is None or following != [0]:
            return None
        return on_cpu(self._attached.state_dict())

    # ------------------------------------------------------------------ small things

    def stage_data(self, **more: Any) -> dict[str, Any]:
        """What a resumed run needs of the stages so far."""
        return super().stage_data(
            plan=self.plan.to_dict(),
            groups=[vars(facts) for facts in self.group_facts],
            attached=self._attached_state(),
            **more,
        )

    def _tell_stages(self) -> None:
        self.logger.info(f'{len(self.stages)} groups of channels will be pruned:')
        for stage in self.stages:
            group, unit = stage.group, stage.group.unit
            blocks = '' if unit == 1 else f', {unit} at a time'
            self.logger.info(
                f'  {group.name}: {group.channels * unit} -> {stage.keep * unit}{blocks}'
            )
        self.logger.info(f'{len(self.skipped)} are left alone:')
        for item in self.skipped:
            self.logger.info(f'  {item.name}: {item.reason}')
        statistics = self.pruning.norm_statistics
        for text in frozen_layer_messages(self.detector, self.stages, statistics):
            self.logger.warning(text)

    def _check_ranks(self) -> None:
        """Several ranks have to be told that not every parameter learns something.

        Raises:
            CompressionError: they are not.
        """
        alone = not self.pruning.attachment.detector_losses
        if alone and self.distributed and not self.cfg.get('find_unused_parameters'):
            raise CompressionError(
                f'{KEY}.attachment.detector_losses=False trains a part of the detector: with '
                'several ranks, set find_unused_parameters=True at the top of the config'
            )
