"""PruningRunner: an mmengine runner that prunes a trained detector group by group.

Algorithm 1 of LCP (Xie et al., arXiv 1911.02237): for every layer, fine-tune the detector with
an auxiliary network on the next layer, select the channels that stay, update the next layer's
kernels, remove the others; at the end, retrain. Which criterion selects is a matter of config.
"""

import contextlib
import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmdet_lcp import compat
from mmdet_lcp.analysis.report import GroupFacts, StepFacts
from mmdet_lcp.analysis.tables import format_seconds
from mmdet_lcp.attachments import AuxiliaryNetwork
from mmdet_lcp.attachments.attached_detector import AttachedDetector, LayerAuxiliary
from mmdet_lcp.datasets import DropDegenerateBoxesHook
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import RUNNERS
from mmdet_lcp.runner.checkpoint import load_detector
from mmdet_lcp.runner.config import KEY, PhaseConfig, PruningConfig
from mmdet_lcp.runner.finish import Finish
from mmdet_lcp.runner.phase_loop import PhaseTrainLoop, schedule_phases
from mmdet_lcp.runner.ranks import on_main
from mmdet_lcp.runner.seeds import derive, seeded
from mmdet_lcp.runner.selection_set import SelectionSet
from mmdet_lcp.runner.stages import Stage, choose_stages
from mmdet_lcp.runner.state import RunState, fingerprint
from mmdet_lcp.structure import Plan, apply_plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.structure.surgery import needs_fresh_inputs

# Numbers for `derive`, so that no two pieces of work share a seed.
_AUXILIARY, _CRITERION = 2, 3


@RUNNERS.register_module()
class PruningRunner(Runner):
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
        cfg = kwargs.get('cfg') or {}
        self.pruning = PruningConfig.from_cfg(cfg)
        self.state = RunState(kwargs['work_dir'])
        self._continue = bool(kwargs.get('resume'))
        self._phase: int | None = None
        self.stages: list[Stage] = []
        check_runner_keys(kwargs, resumed=self._continue and self.state.exists)
        randomness = dict(kwargs.get('randomness') or {})
        if self._continue and self.state.exists:
            seed = randomness.get('seed')
            if seed is None:
                randomness['seed'] = self.state.seed
            elif seed != self.state.seed:
                raise CompressionError(
                    f'{kwargs["work_dir"]} holds the state of another run: it had the seed '
                    f'{self.state.seed}, this one has {seed}. Resume with that seed, or choose '
                    'another --work-dir.'
                )
        kwargs['randomness'] = randomness
        super().__init__(**kwargs)

    # ------------------------------------------------------------------ the run

    def train(self) -> nn.Module:
        """Prune; returns the pruned detector, a plain mmdet one."""
        self._started = time.time()
        self._prepare()
        if self._finish.done:
            self.logger.info('This run has ended before; nothing is left to do.')
            return self._finish.show()
        while self._stages_done < len(self.stages):
            self._run_stage(self._stages_done)
        number = len(self.stages)
        self.logger.info(f'Retraining the pruned detector, {self._eta(number)}')
        self._train_phase(number, self.detector)
        self._phase = None
        detector = self._finish.run(self._elapsed())
        self.call_hook('after_run')
        return detector

    def _prepare(self) -> None:
        """Everything that must be right before hours of training begin."""
        loader = {**self._train_dataloader, 'persistent_workers': False}
        if loader.get('num_workers'):
            loader['worker_init_fn'] = dict(type='mmdet_lcp_worker_seed')
        clean = DropDegenerateBoxesHook()  # from here on an empty data set is named
        with readable('train_dataloader'):
            self._train_loop = PhaseTrainLoop(self, loader)
        clean.before_train(self)
        self.detector = _unwrap(self.model)
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
        sampler = self.pruning.attachment and self.pruning.attachment.sampler(self.dense)
        loader = self.train_dataloader
        with readable('train_dataloader'):
            self.selection_set = SelectionSet.draw(
                loader.dataset,
                self.dense,
                self.pruning.selection,
                loader.batch_size or self._train_dataloader['batch_size'],
                self.seed,
                sampler or None,
            )
        self.phases = schedule_phases(
            [self.pruning.finetune] * len(self.stages) + [self.pruning.retrain], len(loader)
        )
        self._train_loop.plan(self.phases)
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
        self._finish.load_dense(saved['dense'])
        self.logger.info(f'Resumed after {self._stages_done} of {len(self.stages)} stages')

    def _run_stage(self, number: int) -> None:
        """Fine-tune, select, update, surgery; then write it down."""
        stage = self.stages[number]
        group = stage.group
        self.logger.info(
            f'Stage {number + 1}/{len(self.stages)}: {group.name}, {group.channels} -> '
            f'{stage.keep} channels, {self._eta(number)}'
        )
        auxiliary = self._finetune(number, stage)
        self._phase = None
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
            derive(self.seed, _CRITERION, number),
        )
        selection = self.pruning.criterion.select(problem, stage.keep)
        seconds = time.time() - began
        keep = on_main(lambda: selection.keep)
        removed = sorted(set(range(group.channels)) - set(keep))
        plan = self.plan.remove(group, removed, self.totals)
        mask_plan(self.detector, plan, done=self.plan)
        if needs_fresh_inputs(self.detector, group):
            problem.batches.clear()
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

    def _finetune(self, number: int, stage: Stage) -> AuxiliaryNetwork | None:
        """Train detector and auxiliary network together; returns the latter."""
        attachment = self.pruning.attachment
        if attachment is None:
            self._train_phase(number, self.detector)
            return None
        path = stage.group.consumers[0].path
        consumer = self.detector.get_submodule(path)
        if not isinstance(consumer, nn.Conv2d):
            raise CompressionError(
                f'{KEY}.attachment: the auxiliary network reads a convolution, but the layer '
                f'after {stage.group.name} is {path}, a {type(consumer).__name__}'
            )
        with seeded(derive(self.seed, _AUXILIARY, number)):
            network = attachment.build(self.detector, consumer.out_channels)
        layer = LayerAuxiliary(network, attachment.sampler(self.detector), path)
        self._train_phase(number, AttachedDetector(self.detector, {'localization': layer}))
        return network

    # ------------------------------------------------------------------ training phases

    def _train_phase(self, number: int, model: nn.Module) -> None:
        """Train a model through phase ``number``, from where an earlier process left it."""
        phase = self.phases[number]
        self._phase = number
        self.model = self.wrap_model(self.cfg.get('model_wrapper_cfg'), model)
        if phase.iters == 0:
            return
        for key in [k for k in self.message_hub.log_scalars if k.startswith('train/loss')]:
            del self.message_hub.log_scalars[key]  # means over the last losses end with a phase
        self.param_schedulers = None  # `scale_lr` wants them built after the optimizer
        self.optim_wrapper = self.build_optim_wrapper(self._optimizer_cfg(phase.config))
        self.scale_lr(self.optim_wrapper, self.auto_scale_lr)
        self.param_schedulers = self._build_schedulers(phase.config, phase.epochs, phase.iters)
        averages = [hook for hook in self._hooks if isinstance(hook, EMAHook)]
        for hook in averages:
            hook.before_run(self)
        loop = self.train_loop
        loop.skip_to(phase.first_epoch, phase.first_iter)
        self._load_progress(number)
        self.optim_wrapper.initialize_count_status(
            self.model, loop.iter - phase.first_iter, phase.iters
        )
        self._maybe_compile('train_step')
        loop.run_phase(phase)
        for hook in averages:
            hook._swap_ema_parameters()

    def _optimizer_cfg(self, config: PhaseConfig) -> Config:
        optimizer = copy.deepcopy(self.cfg.optim_wrapper)
        if config.lr is not None:
            optimizer.optimizer.lr = config.lr
        return optimizer

    def _build_schedulers(self, config: PhaseConfig, epochs: int, iters: int) -> list | None:
        """Schedulers that count from the phase's beginning and by default last to its end."""
        if config.param_scheduler is None:
            return None
        given = copy.deepcopy(config.param_scheduler)
        schedulers = [given] if isinstance(given, dict) else list(given)
        for scheduler in schedulers:
            scheduler.setdefault('end', epochs if scheduler.get('by_epoch', True) else iters)
        return self.build_param_scheduler(schedulers)

    def save_progress(self) -> None:
        """Write down the training that is under way; the loop calls it after every epoch."""
        data = {
            'phase': self._phase,
            'epoch': self.train_loop.epoch,
            'iter': self.train_loop.iter,
            'meta': {},
            'state_dict': _on_cpu(_unwrap(self.model).state_dict()),
            'optimizer': self.optim_wrapper.state_dict(),
            'param_schedulers': [s.state_dict() for s in self.param_schedulers or []],
        }
        self.call_hook('before_save_checkpoint', checkpoint=data)
        on_main(lambda: self.state.save_progress(data))

    def _load_progress(self, number: int) -> None:
        data = self.state.load_progress(number)
        if data is None:
            return
        self.call_hook('after_load_checkpoint', checkpoint=data)
        _unwrap(self.model).load_state_dict(data['state_dict'])
        self.optim_wrapper.load_state_dict(data['optimizer'])
        for scheduler, state in zip(
            self.param_schedulers or [], data['param_schedulers'], strict=True
        ):
            scheduler.load_state_dict(state)
        self.train_loop.skip_to(data['epoch'], data['iter'])
        self.logger.info(f'Resumed inside the phase, after epoch {data["epoch"]}')

    # ------------------------------------------------------------------ mmengine's side

    def setup_env(self, env_cfg: dict) -> None:
        """As mmengine's, also for several ranks without CUDA; refuses to overwrite a run."""
        if self._launcher == 'pytorch':
            compat.init_cpu_process_group()
        super().setup_env(env_cfg)
        self._fingerprint = fingerprint(self.cfg)
        on_main(lambda: self.state.open(self._continue, self._fingerprint))

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """As mmengine's, without hooks that would meet the wrong weights.

        Checkpoints are written while retraining only (before that there is `RunState`), and an
        average of weights is kept inside a phase, since surgery changes the shapes after it.
        """
        hooks = self._hooks
        retraining = self._phase is not None and self._phase == len(self.stages)
        left_out = (
            *([] if retraining else [CheckpointHook]),
            *([EMAHook] if self._phase is None else []),
        )
        self._hooks = [hook for hook in hooks if not isinstance(hook, left_out)]
        try:
            super().call_hook(fn_name, **kwargs)
        finally:
            self._hooks = hooks

    # ------------------------------------------------------------------ small things

    def evaluate(self, detector: nn.Module, loop_name: str) -> dict[str, float]:
        """Metrics of a detector on the ``'val'`` or the ``'test'`` set."""
        self.model = detector  # unwrapped: DDP refuses the frozen dense one, and none is trained
        loop = self.test_loop if loop_name == 'test' else self.val_loop
        return {key: float(value) for key, value in loop.run().items()}

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
            'detector': _on_cpu(self.detector.state_dict()),
            'steps': [vars(step) for step in self.steps],
            'groups': [vars(facts) for facts in self.group_facts],
            'dense': self._finish.dense_data(),
            'seconds': self._elapsed(),
            **more,
        }

    def _elapsed(self) -> float:
        return self._seconds_before + time.time() - self._started

    def _eta(self, stages_done: int) -> str:
        """Elapsed and remaining time of the run, from the pace so far."""
        elapsed = self._elapsed()
        text = f'{format_seconds(elapsed)} elapsed'
        if stages_done == 0:
            return text
        left = len(self.stages) - stages_done
        per_stage = elapsed / stages_done
        iters = self.pruning.finetune.iterations(len(self.train_dataloader))
        if iters:  # retraining goes at the pace of fine-tuning, measurements included
            left += self.phases[-1].iters / iters
        return f'{text}, about {format_seconds(per_stage * left)} left'

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


def check_runner_keys(kwargs: dict[str, Any], resumed: bool) -> None:
    """Check the runner's own keys before anything is built or written.

    Raises:
        CompressionError: a key is missing, or ``load_from`` names no file.
    """
    for key in ('train_dataloader', 'optim_wrapper'):
        if not isinstance(kwargs.get(key), dict):
            raise CompressionError(f"the config has no `{key}`: inherit the detector's own config")
    if kwargs.get('val_dataloader') is None and kwargs.get('test_dataloader') is None:
        raise CompressionError(
            'the config has neither `val_dataloader` nor `test_dataloader`: mAP could not be told'
        )
    if resumed:
        return
    load_from = kwargs.get('load_from')
    if not load_from:
        raise CompressionError(
            'pruning starts from a trained detector: set `load_from` to its checkpoint, in the '
            'config or with `--cfg-options load_from=FILE`'
        )
    if not Path(load_from).is_file():
        raise CompressionError(f'load_from={load_from!r}: there is no such file')


@contextlib.contextmanager
def readable(key: str) -> Iterator[None]:
    """Name the config's key under which a file could not be read.

    Raises:
        CompressionError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise CompressionError(
            f'`{key}` names a file that cannot be read: {error}. Check its `data_root`, '
            '`ann_file` and `data_prefix`.'
        ) from error


def _unwrap(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _on_cpu(weights: dict[str, Any]) -> dict[str, Any]:
    return {key: value.cpu() for key, value in weights.items()}
