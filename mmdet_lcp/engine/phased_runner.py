"""PhasedRunner: an mmengine runner that trains one model after the other, and resumes anywhere.

What is trained, and what happens between two phases, is for subclasses to say.
"""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mmengine.config import Config
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.runner import Runner
from torch import nn

from mmdet_lcp import compat
from mmdet_lcp.compat.mmengine import (
    compile_step,
    given_train_loader,
    hooks_left_out,
    launcher_of,
    set_train_loop,
    starting_weights,
    take_average,
)
from mmdet_lcp.config.fingerprint import accepted_changes, fingerprint
from mmdet_lcp.config.names import named_config
from mmdet_lcp.config.top_level import check_top_level
from mmdet_lcp.config.unknown_types import types_told
from mmdet_lcp.copies import detached_copy
from mmdet_lcp.datasets import DropDegenerateBoxesHook
from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.engine.data_check import check_data
from mmdet_lcp.engine.finite_loss import FiniteLossHook, check_weights
from mmdet_lcp.engine.lock import rank_alone_in
from mmdet_lcp.engine.mode_switches import switch_warnings
from mmdet_lcp.engine.pace import Pace
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.engine.phase_loop import Phase, PhaseTrainLoop, schedule_phases
from mmdet_lcp.engine.plain_checkpoints import PlainCheckpoints
from mmdet_lcp.engine.preflight import check_runner_keys, readable
from mmdet_lcp.engine.quiet import evaluated_on
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.engine.schedules import lasting
from mmdet_lcp.engine.state import KEPT, RunState
from mmdet_lcp.engine.training_check import built_from, check_optimizer, check_precision
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.modes import frozen
from mmdet_lcp.wrappers import unwrap


@dataclass
class _Cursor:
    """Which phase is being trained, if any."""

    phase: int | None = None


class PhasedRunner(PlainCheckpoints, Runner):
    """Trains in phases.

    Takes what mmengine's `Runner` takes, by keyword.

    Attributes:
        state: what is on disk.
        phases: pieces of training, in order; filled by `plan_phases`.
        pace: how long things take.
        state_folder: where in the work_dir the state is kept; set by the subclass.
        reads: the keys at the top of a config that this runner alone reads.
        saves_checkpoints: whether mmengine's checkpoints are written in the last phase.

    Raises:
        CompressionError: something in config, checkpoint or data has to be mended first.
    """

    state_folder: ClassVar[str]
    reads: ClassVar[tuple[str, ...]] = ()
    saves_checkpoints: ClassVar[bool] = True

    def __init__(self, **kwargs: Any) -> None:
        self.state = RunState(kwargs['work_dir'], self.state_folder)
        self._continue = bool(kwargs.get('resume'))
        self.phases: list[Phase] = []
        self.pace = Pace()
        self._cursor = _Cursor()
        cfg = kwargs.get('cfg') or {}
        unread = check_top_level(cfg, self.reads)
        check_precision(kwargs.get('optim_wrapper'))
        self._had_begun = self.state.exists
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
        with types_told():
            super().__init__(**kwargs)
        self.register_hook(FiniteLossHook())
        if unread:
            self.logger.warning(f'Keys of the config that nothing reads: {", ".join(unread)}')

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'PhasedRunner':
        """As mmengine builds runners; classes and functions in the config become names."""
        return super().from_cfg(named_config(cfg))

    def load_dense(self) -> tuple[nn.Module, nn.Module]:
        """The trained detector, and a frozen copy of it; all data of the run are checked."""
        detector = unwrap(self.model)
        if self.state.exists:
            with self.state.reading('dense.pth') as checkpoint:
                meta = load_detector(detector, checkpoint)
        else:
            meta = load_detector(detector, starting_weights(self))
        check_data(self, (meta.get('dataset_meta') or {}).get('classes'))
        return detector, frozen(detached_copy(detector))

    def build_phase_loop(self) -> None:
        """Build the training data loader and the loop over it."""
        loader = {**given_train_loader(self), 'persistent_workers': False}
        if loader.get('num_workers'):
            loader['worker_init_fn'] = dict(type='mmdet_lcp_worker_seed')
        with readable('train_dataloader'):
            set_train_loop(self, PhaseTrainLoop(self, loader))
        DropDegenerateBoxesHook().before_train(self)

    def check_training(self, configs: Sequence[PhaseConfig]) -> None:
        """Build what trains once, and let go of it.

        Args:
            configs: of the phases.

        Raises:
            CompressionError: something of it cannot be built; names the key.
        """
        before = self.optim_wrapper, self.param_schedulers
        for config in configs:
            with built_from('optim_wrapper'):
                check_optimizer(self.cfg.optim_wrapper)
                self.param_schedulers = None
                self.optim_wrapper = self.build_optim_wrapper(self._optimizer_cfg(config))
            with built_from('param_scheduler'):
                self._build_schedulers(config, 1, len(self.train_dataloader))
        self.optim_wrapper, self.param_schedulers = before

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep the work_dir for this run.

        Raises:
            CompressionError: another one works there, or has begun since this one was built.
        """
        with rank_alone_in(self.work_dir):
            if on_main(lambda: self.state.exists) and not self._had_begun:
                raise CompressionError(
                    f'{self.work_dir} holds the state of a run that has begun meanwhile: go on '
                    'with it by --resume, or choose another --work-dir.'
                )
            yield

    def plan_phases(self, configs: list[PhaseConfig], stages: int) -> None:
        """Lay out all training of the run, and what its pace counts by.

        Args:
            configs: of each phase.
            stages: how many stages the run has.
        """
        self.phases[:] = schedule_phases(configs, len(self.train_dataloader))
        self.train_loop.plan(self.phases)
        self.pace.stages, self.pace.iterations = stages, self.max_iters
        self._tell_unread_rate()
        for line in switch_warnings(self.hooks, self.phases):
            self.logger.warning(line)

    def _tell_unread_rate(self) -> None:
        unread = self.cfg.optim_wrapper.get('optimizer', {}).get('lr')
        trained = [phase.config for phase in self.phases if phase.iters]
        rates = {config.rate(unread) for config in trained}
        multiples = any(config.lr_factor is not None for config in trained)
        if unread is not None and rates and not multiples and not rates & {None, unread}:
            shown = ', '.join(f'{rate:g}' for rate in sorted(rates))
            self.logger.info(
                f'optim_wrapper.optimizer.lr={unread} is not used: all training here has a rate '
                f'of its own ({shown})'
            )

    def train_phase(self, number: int, model: nn.Module) -> None:
        """Train a model through phase ``number``, from where an earlier process left it."""
        phase = self.phases[number]
        self._cursor.phase = number
        if self.distributed:
            model = self.wrap_model(self.cfg.get('model_wrapper_cfg'), model)
        self.model = model
        if phase.iters == 0:
            self._cursor.phase = None
            return
        for key in [k for k in self.message_hub.log_scalars if k.startswith('train/loss')]:
            del self.message_hub.log_scalars[key]  # means over the last losses end with a phase
        self.param_schedulers = None  # `scale_lr` wants them built after the optimizer
        self.optim_wrapper = self.build_optim_wrapper(self._optimizer_cfg(phase.config))
        self.scale_lr(self.optim_wrapper, self.auto_scale_lr)
        self.param_schedulers = self._build_schedulers(phase.config, phase.epochs, phase.iters)
        averages = [hook for hook in self.hooks if isinstance(hook, EMAHook)]
        for hook in averages:
            hook.before_run(self)
        loop = self.train_loop
        loop.skip_to(phase.first_epoch, phase.first_iter)
        self._load_progress(number)
        self.optim_wrapper.initialize_count_status(
            self.model, loop.iter - phase.first_iter, phase.iters
        )
        compile_step(self, 'train_step')
        with self.pace.training(phase.end_iter - loop.iter):
            loop.run_phase(phase)
        for hook in averages:
            take_average(hook)
        self._cursor.phase = None

    def _optimizer_cfg(self, config: PhaseConfig) -> Config:
        optimizer = copy.deepcopy(self.cfg.optim_wrapper)
        rate = config.rate(optimizer.optimizer.get('lr'))
        if rate is not None:
            optimizer.optimizer.lr = rate
        return optimizer

    def _build_schedulers(self, config: PhaseConfig, epochs: int, iters: int) -> list | None:
        """Schedulers that count from the phase's beginning and by default last to its end."""
        schedulers = lasting(config.param_scheduler, epochs, iters)
        if schedulers is None:
            return None
        return self.build_param_scheduler(copy.deepcopy(schedulers))

    def save_progress(self) -> None:
        """Write down the training that is under way; the loop calls it after every epoch.

        Raises:
            CompressionError: the last step has broken weights; the epoch before stays.
        """
        model = unwrap(self.model)
        check_weights(model, [name for name, _ in model.named_buffers()])
        data = {
            'phase': self._cursor.phase,
            'epoch': self.train_loop.epoch,
            'iter': self.train_loop.iter,
            'meta': {},
            'state_dict': on_cpu(unwrap(self.model).state_dict()),
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
        unwrap(self.model).load_state_dict(data['state_dict'])
        self.optim_wrapper.load_state_dict(data['optimizer'])
        for scheduler, state in zip(
            self.param_schedulers or [], data['param_schedulers'], strict=True
        ):
            scheduler.load_state_dict(state)
        self.train_loop.skip_to(data['epoch'], data['iter'])
        self.logger.info(f'Resumed inside the phase, after epoch {data["epoch"]}')

    def setup_env(self, env_cfg: dict) -> None:
        """As mmengine's, also for several ranks without CUDA; looks for another run's state."""
        if launcher_of(self) == 'pytorch':
            compat.init_cpu_process_group()
        super().setup_env(env_cfg)
        self._fingerprint = fingerprint(self.cfg, KEPT)
        self._refusal: CompressionError | None = None
        try:
            given = self.cfg.get('load_from')
            accepted = accepted_changes(self.cfg)
            on_main(lambda: self.state.open(self._continue, self._fingerprint, given, accepted))
        except CompressionError as error:  # testing in this work_dir is fine, training is not
            self._refusal = error

    def dump_config(self) -> None:
        """As mmengine's; the config of another run is left as it is."""
        if self._refusal is None:
            super().dump_config()

    def require_own_state(self) -> None:
        """Raise a CompressionError if the work_dir holds the state of another run."""
        if self._refusal is not None:
            raise self._refusal

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """As mmengine's, without hooks that would meet the wrong weights.

        Checkpoints are written in the last phase only (before it there is `RunState`), and an
        average of weights is kept inside a phase, since shapes may change after it.
        """
        phase = self._cursor.phase
        last = phase is not None and phase == len(self.phases) - 1
        left_out = (
            *([] if last and self.saves_checkpoints else [CheckpointHook]),
            *([EMAHook] if phase is None else []),
        )
        with hooks_left_out(self, left_out):
            super().call_hook(fn_name, **kwargs)

    def evaluate(
        self, detector: nn.Module, loop_name: str, table: bool = False
    ) -> dict[str, float]:
        """Metrics of a detector on the ``'val'`` or the ``'test'`` set.

        Args:
            detector: it.
            loop_name: which set.
            table: show what the evaluator prints besides.
        """
        self.model = detector  # unwrapped: DDP refuses the frozen dense one, and none is trained
        return evaluated_on(self, loop_name, table)


def on_cpu(weights: dict[str, Any]) -> dict[str, Any]:
    """A state dict whose tensors lie in main memory."""
    return {key: value.cpu() for key, value in weights.items()}
