"""PruningRunner: an mmengine runner that prunes a trained detector group by group.

Algorithm 1 of LCP (Xie et al., arXiv 1911.02237): for every layer, fine-tune the detector with
an auxiliary network on the next layer, select the channels that stay, update the next layer's
kernels, remove the others; at the end, retrain. Which criterion selects is a matter of config.
"""

import copy
import time
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from torch import nn

from mmdet_lcp.analysis.report import GroupFacts, StepFacts
from mmdet_lcp.analysis.tables import format_seconds
from mmdet_lcp.attachments import AuxiliaryNetwork
from mmdet_lcp.attachments.attached_detector import AttachedDetector, LayerAuxiliary
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import RUNNERS
from mmdet_lcp.runner.checkpoint import load_detector
from mmdet_lcp.runner.config import KEY, PruningConfig
from mmdet_lcp.runner.finish import Finish
from mmdet_lcp.runner.norm_statistics import settle_statistics
from mmdet_lcp.runner.pace import Pace
from mmdet_lcp.runner.phased_runner import PhasedRunner, on_cpu, unwrap
from mmdet_lcp.runner.preflight import readable
from mmdet_lcp.runner.ranks import on_main
from mmdet_lcp.runner.seeds import derive, seeded
from mmdet_lcp.runner.selection_set import SelectionSet
from mmdet_lcp.runner.stages import Stage, choose_stages
from mmdet_lcp.structure import Plan, apply_plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.structure.following_norms import following_norms
from mmdet_lcp.structure.surgery import needs_fresh_inputs


@RUNNERS.register_module()
class PruningRunner(PhasedRunner):
    """Prunes a detector as the config's `pruning` key says; see `PruningConfig`.

    Takes what mmengine's `Runner` takes, through ``runner_type='mmdet_lcp.PruningRunner'``.
    ``load_from`` names the trained detector. ``train()`` writes into ``work_dir``:
    ``pruned_config.py``, ``pruned.pth``, ``plan.json``, ``report.json``, ``report.md`` and
    pictures. Killed at any moment, a run goes on with ``resume=True`` and ends with the same
    plan.

    Raises:
        CompressionError: something in config, checkpoint or data has to be mended first.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.pruning = PruningConfig.from_cfg(kwargs.get('cfg') or {})
        super().__init__(**kwargs)

    def train(self) -> nn.Module:
        """Prune; returns the pruned detector, a plain mmdet one."""
        self.require_own_state()
        self._started = time.time()
        self._prepare()
        if self._finish.done:
            self.logger.info('This run has ended before; nothing is left to do.')
            return self._finish.show()
        while self._stages_done < len(self.stages):
            with self.pace.stage():
                self._run_stage(self._stages_done)
        if self._stages_done == len(self.stages):
            self._settle()
        number = len(self.stages)
        self.logger.info(f'Retraining the pruned detector, {self._time_text()}')
        self.train_phase(number, self.detector)
        detector = self._finish.run(self._elapsed())
        self.call_hook('after_run')
        return detector

    def _prepare(self) -> None:
        """Everything that must be right before hours of training begin."""
        self.build_phase_loop()
        self.detector = unwrap(self.model)
        if self.state.exists:
            with self.state.reading('dense.pth') as checkpoint:
                load_detector(self.detector, checkpoint)
        else:
            load_detector(self.detector, self._load_from)
        self.dense = copy.deepcopy(self.detector).eval().requires_grad_(False)

        self.image_size = self._image_size()
        groups = find_groups(self.detector, self.image_size)
        self.stages, self.skipped = choose_stages(self.detector, groups, self.pruning)
        self.totals = axis_sizes(self.detector, [stage.group for stage in self.stages])
        self._tell_stages()
        sampler = None
        if self.pruning.attachment is not None:
            sampler = self.pruning.attachment.sampler(self.dense)
            check_attachable(self.detector, self.stages)
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
        for stage in self.stages:
            self.pruning.criterion.check(self.dense, stage.group)
        consumers = [m.path for stage in self.stages for m in stage.group.consumers]
        self.selection_set.expect(consumers, self.dense)
        self.plan_phases([self.pruning.finetune] * len(self.stages) + [self.pruning.retrain])
        self.pace = Pace(len(self.stages), self.max_iters)
        on_main(lambda: self.state.begin(self._fingerprint, self.seed, self._load_from))
        self.call_hook('before_run')
        self._finish = Finish(self)
        self._restore()

    def _restore(self) -> None:
        """Begin, or go on where the last completed stage left the detector."""
        saved = self.state.load_stage()
        if saved is None:
            self.plan = Plan()
            self.steps: list[StepFacts] = []
            self.group_facts: list[GroupFacts] = []
            self._stages_done, self._seconds_before = 0, 0.0
            self.logger.info('Measuring the dense detector')
            self._finish.measure_dense()
            self.record('dense', self.dense)
            self._save_stage()
            return
        self.plan = Plan.from_dict(saved['plan'])
        apply_plan(self.detector, self.plan)
        self.detector.load_state_dict(saved['detector'])
        self.steps = [StepFacts(**step) for step in saved['steps']]
        self.group_facts = [GroupFacts(**facts) for facts in saved['groups']]
        self._stages_done, self._seconds_before = saved['stages_done'], saved['seconds']
        self._finish.load(saved['measured'])
        done = min(self._stages_done, len(self.stages))
        self.logger.info(f'Resumed after {done} of {len(self.stages)} stages')

    def _run_stage(self, number: int) -> None:
        """Fine-tune, select, update, surgery; then write it down."""
        stage = self.stages[number]
        group = stage.group
        self.logger.info(
            f'Stage {number + 1}/{len(self.stages)}: {group.name}, {group.channels} -> '
            f'{stage.keep} channels, {self._time_text()}'
        )
        auxiliary = self._finetune(number, stage)
        if 'finetuned' in self.pruning.evaluate:
            self.record('finetuned', self.detector, group.name)

        began = time.time()
        problem = self.selection_set.problem(
            group,
            self.dense,
            self.detector,
            self.plan,
            self.pruning.objective,
            auxiliary,
            derive(self.seed, 'criterion', number),
            self.pruning.criterion.needs_metrics,
        )
        selection = self.pruning.criterion.select(problem, stage.keep)
        seconds = time.time() - began
        keep = on_main(lambda: selection.keep)
        removed = sorted(set(range(group.channels)) - set(keep))
        plan = self.plan.remove(group, removed, self.totals)
        mask_plan(self.detector, plan, done=self.plan)
        if needs_fresh_inputs(self.detector, group):
            problem.inputs_changed()
        log = {**selection.log, **self.pruning.update.apply(problem, keep)}
        apply_plan(self.detector, plan, done=self.plan)
        self.plan = plan
        self.group_facts.append(
            GroupFacts(group.name, group.channels, stage.asked, stage.keep, seconds)
        )
        shown = ', '.join(f'{key} {value:.3g}' for key, value in log.items())
        self.logger.info(f'{group.name}: selected in {seconds:.1f} s. {shown}')
        if 'selected' in self.pruning.evaluate:
            self.record('selected', self.detector, group.name)
        self._stages_done = number + 1
        self._save_stage()

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

    def _finetune(self, number: int, stage: Stage) -> AuxiliaryNetwork | None:
        """Train detector and auxiliary network together; returns the latter."""
        attachment = self.pruning.attachment
        if attachment is None:
            self.train_phase(number, self.detector)
            return None
        path = stage.group.consumers[0].path
        consumer = self.detector.get_submodule(path)
        with seeded(derive(self.seed, 'auxiliary', number)):
            network = attachment.build(self.detector, consumer.out_channels)
        layer = LayerAuxiliary(network, attachment.sampler(self.detector), path)
        self.train_phase(number, AttachedDetector(self.detector, {'localization': layer}))
        return network

    # ------------------------------------------------------------------ small things

    def record(self, step: str, detector: nn.Module, group: str | None = None) -> None:
        """Measure a detector on the validation set, as one step of the report."""
        if self._val_loop is not None:
            self.steps.append(StepFacts(step, group, self.evaluate(detector, 'val')))

    def _save_stage(self) -> None:
        on_main(lambda: self.state.save_stage(self.stage_data()))

    def stage_data(self, **more: Any) -> dict[str, Any]:
        """What a resumed run needs of the stages so far."""
        return {
            'stages_done': self._stages_done,
            'plan': self.plan.to_dict(),
            'detector': on_cpu(self.detector.state_dict()),
            'steps': [vars(step) for step in self.steps],
            'groups': [vars(facts) for facts in self.group_facts],
            'measured': self._finish.data(),
            'seconds': self._elapsed(),
            **more,
        }

    def _elapsed(self) -> float:
        return self._seconds_before + time.time() - self._started

    def _time_text(self) -> str:
        text = f'{format_seconds(self._elapsed())} elapsed'
        left = self.pace.seconds_left(self._stages_done, self.iter)
        return text if left is None else f'{text}, about {format_seconds(left)} left'

    def _tell_stages(self) -> None:
        self.logger.info(f'{len(self.stages)} groups of channels will be pruned:')
        for stage in self.stages:
            self.logger.info(f'  {stage.group.name}: {stage.group.channels} -> {stage.keep}')
        self.logger.info(f'{len(self.skipped)} are left alone:')
        for item in self.skipped:
            self.logger.info(f'  {item.name}: {item.reason}')

    def _image_size(self) -> tuple[int, int]:
        """(height, width) of the images that the detector is given when it is deployed."""
        items = []
        for name in ('val', 'test'):
            if getattr(self, f'_{name}_loop') is not None:
                with readable(f'{name}_dataloader` or `{name}_evaluator'):
                    items.append(getattr(self, f'{name}_loop').dataloader.dataset[0])
        item = pseudo_collate(items[-1:])
        with torch.no_grad():
            inputs = self.detector.data_preprocessor(item, False)['inputs']
        return tuple(inputs.shape[-2:])


def check_attachable(detector: nn.Module, stages: list[Stage]) -> None:
    """Check that an auxiliary network can read the layer after every group.

    Raises:
        CompressionError: that layer is no convolution.
    """
    for stage in stages:
        path = stage.group.consumers[0].path
        consumer = detector.get_submodule(path)
        if not isinstance(consumer, nn.Conv2d):
            raise CompressionError(
                f'{KEY}.attachment: the auxiliary network reads a convolution, but the layer '
                f'after {stage.group.name} is {path}, a {type(consumer).__name__}. Leave that '
                f'group out of {KEY}.layers, or set {KEY}.attachment=None.'
            )
