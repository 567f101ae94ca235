"""The end of a pruning run: pruned config, weights, plan, and what became of each group."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.engine.finish import Finish, FinishingRunner
from mmdet_lcp.engine.phase_loop import Phase
from mmdet_lcp.measure.metrics import with_zeros
from mmdet_lcp.modes import evaluated
from mmdet_lcp.pruning.delivery import PRUNED_WEIGHTS, deliver, pruned_config
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.report.facts import SHARE, DetectorFacts, GroupFacts, SkippedLayer, TargetFacts

_MOVED = 1.15  # times as long: then the machine was not the same


def group_scalars(groups: Sequence[GroupFacts]) -> dict[str, float]:
    """What there is to watch after the last of some groups: channels, and shares of the losses.

    Args:
        groups: those that have been pruned, at least one.
    """
    last = groups[-1]
    return {
        'channels_kept': last.kept,
        'share_of_channels_kept': last.kept / last.total,
        'channels_removed_in_all': sum(group.total - group.kept for group in groups),
        **{f'{SHARE}{term}': share for term, share in last.shares.items()},
    }


class PruningFinish(Finish):
    """Measures and reports for a `PruningRunner`.

    Args:
        runner: see `Finish`.
        job: the detectors, the plan, and what became of each group.
        cfg: the run's config.
        method: the name of the method.
    """

    def __init__(self, runner: FinishingRunner, job: PruningJob, cfg: Config, method: str) -> None:
        super().__init__(runner, job.dense, job.image_size)
        self.job, self.cfg, self.method = job, cfg, method
        self.pruned_metrics: dict[str, float] = {}

    def measure_pruned(self, detector: nn.Module) -> None:
        """Measure the detector after the last stage, before it is retrained."""
        self.pruned_metrics = with_zeros(self.metrics(detector, 'selected'), [self.dense.metrics])

    def data(self) -> dict[str, Any]:
        """See `Finish.data`."""
        return {**super().data(), 'pruned_metrics': self.pruned_metrics}

    def load(self, data: dict[str, Any]) -> None:
        """See `Finish.load`."""
        super().load(data)
        self.pruned_metrics = data['pruned_metrics']

    @property
    def file(self) -> Path:
        """The pruned weights."""
        return self.work_dir / PRUNED_WEIGHTS

    def phases(self) -> list[tuple[str, Phase]]:
        """See `Finish.phases`."""
        *before, last = self.runner.phases
        named = [('fine-tuning before each group', phase) for phase in before]
        return [*named, ('retraining', last)]

    def settings(self) -> dict[str, str]:
        """Criterion, update, how much went, the teacher, and those of any run."""
        config = self.runner.pruning
        found = {
            'criterion': type(config.criterion).__name__,
            'update': type(config.update).__name__,
        }
        if config.target is not None:
            found['target'] = f'{config.target.cost} {config.target.share:g}'
            spread = self.job.allocation.spread
            if config.target.tries_spreads and spread is not None:  # a peer has none
                found['target'] += f', spread {spread:g}'
        else:
            found['ratio'] = str(config.ratio)
        found['selection images'] = str(config.selection.num_images)
        if config.distill is not None:
            length, rate = config.distill.max_iters, config.distill.lr
            found['distilled'] = f'{length} iterations at {rate:g}, without annotations'
        mimic = config.retrain.mimic
        if mimic is not None:
            teacher = mimic.teacher
            named = getattr(teacher, 'config', None), getattr(teacher, 'checkpoint', None)
            own = f'the {self.runner.before} detector'
            found['teacher'] = own if named[0] is None else f'{named[0]}, {named[1]}'
            found['mimic'] = mimic.in_words()
        return {**found, **super().settings()}

    def deliver(self, meta: dict[str, Any]) -> None:
        """See `delivery.deliver`."""
        deliver(self.cfg, self.job.detector, self.job.plan, self.work_dir, meta)

    def read_back(self) -> nn.Module:
        """The pruned detector, built and loaded as any user of it would."""
        cfg = pruned_config(self.cfg, self.job.plan, self.work_dir)
        detector = MODELS.build(copy.deepcopy(cfg.model))
        load_detector(detector, self.work_dir / PRUNED_WEIGHTS)
        return evaluated(detector.to(next(self.job.dense.parameters()).device))

    def told(self, compressed: DetectorFacts) -> dict[str, Any]:
        """Method, groups, what was left alone, and the target."""
        return dict(self.told_so_far(), target=self._target(compressed))

    def told_so_far(self) -> dict[str, Any]:
        """Method, groups that have been pruned, and what is left alone."""
        return dict(
            method=self.method,
            groups=self.job.facts,
            skipped=[SkippedLayer(item.name, item.reason) for item in self.job.skipped],
            pruned_metrics=self.pruned_metrics,
        )

    def _target(self, compressed: DetectorFacts) -> TargetFacts | None:
        """What was asked for and what has come of it, if there was a target."""
        allocation = self.job.allocation
        if allocation is None:
            return None
        key = 'latency_ms' if allocation.cost == 'latency' else allocation.cost
        reached = getattr(compressed, key) / getattr(self.dense, key)
        latency = allocation.cost == 'latency' and self.timing is not None
        return TargetFacts(
            allocation.cost,
            allocation.asked,
            allocation.predicted,
            reached,
            allocation.floor,
            allocation.measured,
            list(self.timing.shares) if latency else None,
            allocation.runtime,
        )

    def notes(self) -> list[str]:
        """See `Finish.notes`; and where the machine was another one when channels were chosen."""
        found = super().notes()
        allocation, now = self.job.allocation, self.dense.latency_ms
        if allocation is None or allocation.measured is None or now is None:
            return found
        if allocation.runtime:  # at the end both detectors are timed in PyTorch
            return found
        then = allocation.dense
        if max(then, now) > _MOVED * min(then, now):
            found.append(
                f'The {self.runner.before} detector took {then:.1f} ms when the channels were '
                f'chosen and {now:.1f} ms at the end: something else ran beside one of them, so '
                'shares of the latency are not sure.'
            )
        return found
