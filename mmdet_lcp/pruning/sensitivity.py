"""Measures how sensitive a detector is to the pruning of each of its groups, one at a time."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from torch import nn

from mmdet_lcp.compat.mmengine import validates
from mmdet_lcp.config.fingerprint import changes, fingerprint, listed
from mmdet_lcp.config.unknown_types import types_told
from mmdet_lcp.engine.pace import Pace
from mmdet_lcp.engine.phased_runner import PhasedRunner
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import axis_sizes
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.config import KEY, PruningConfig
from mmdet_lcp.pruning.criteria import LCP
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.prepare import drawn, left_alone, prepare_job
from mmdet_lcp.pruning.removal import remove_channels
from mmdet_lcp.pruning.stages import choose_stages
from mmdet_lcp.pruning.suited import suited_stages
from mmdet_lcp.pruning.targets.by_sensitivity import share_by_sensitivity
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.pruning.targets.target import Target
from mmdet_lcp.registry import RUNNERS
from mmdet_lcp.report.sensitivity import LOSS, Sensitivity, SensitivityCell, read_sensitivity
from mmdet_lcp.report.sensitivity_picture import draw_sensitivity
from mmdet_lcp.report.tables import format_seconds
from mmdet_lcp.seeds import derive
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.norm_statistics import mean_loss

Measure = Literal['loss', 'mAP', 'both']
# Nothing is trained here, each group is pruned by ratios of the call's own, and the seed is told
# apart: it may be drawn.
UNUSED = (
    'runner_type',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'train_cfg',
    'custom_hooks',
    'default_hooks',
    'randomness.seed',
    *(
        f'{KEY}.{key}'
        for key in (
            'ratio',
            'target',
            'default',
            'attachment',
            'finetune',
            'retrain',
            'norm_statistics',
            'evaluate',
            'method',
        )
    ),
)


@RUNNERS.register_module()
class SensitivityRunner(PhasedRunner):
    """Prunes each group alone from the dense detector, and measures; trains nothing.

    Takes what `PruningRunner` takes; of `pruning` it reads what chooses groups and channels.
    Nothing trains along, so that a criterion with an auxiliary network has its reconstruction
    alone.

    Everything lies in ``work_dir``: ``sensitivity.json`` (written after each cell),
    ``sensitivity.csv`` and ``sensitivity.png``.
    """

    state_folder = 'pruning_state'
    reads = (KEY,)

    def __init__(self, **kwargs: Any) -> None:
        config = PruningConfig.from_cfg(kwargs.get('cfg') or {})
        self.pruning = dataclasses.replace(config, attachment=None)
        super().__init__(**kwargs)

    @cached_property
    def job(self) -> PruningJob:
        """Groups, and the selection images; prepared when it is first asked for."""
        self.build_phase_loop()
        detector, dense = self.load_dense()
        return prepare_job(self, detector, dense, self.pruning, self._tell_left_alone)

    def train(self) -> nn.Module:
        """Nothing is trained.

        Raises:
            CompressionError: always.
        """
        raise CompressionError(
            'SensitivityRunner measures and trains nothing: use mmdet-lcp sensitivity, or call '
            'measure()'
        )

    def measure(
        self, ratios: Sequence[float], measure: Measure = 'loss', images: int = 64
    ) -> Sensitivity:
        """Measure the cells that are missing.

        Args:
            ratios: parts of a group's channels that go, each in (0, 1).
            measure: the detector's loss on training images, mAP on the validation set, or both.
            images: training images for the loss, none of them among the selection images if there
                are enough.

        Raises:
            CompressionError: there is no group to prune, or the work_dir holds other figures.
        """
        with self.alone(), types_told():
            return self._measure(ratios, measure, images)

    def _measure(self, ratios: Sequence[float], measure: Measure, images: int) -> Sensitivity:
        self._check(ratios, measure, images)
        stages = {ratio: self._stages_at(ratio) for ratio in ratios}
        groups = {name: stage.group for name, stage in _by_name(stages).items()}
        order = [group.name for group in self.job.groups if group.name in groups]
        job = dataclasses.replace(
            self.job, totals=axis_sizes(self.job.detector, list(groups.values()))
        )
        folder = Path(self.work_dir)
        known = Sensitivity(
            {name: groups[name].channels for name in order}, self._depends_on(measure, images)
        )
        known = self._go_on(known, folder)
        judged = None if measure == 'mAP' else self._loss_images(images)
        if not known.dense:
            known.dense = self._values(job.dense, measure, judged)
            on_main(lambda: known.write(folder))
        cells = [
            (stage, ratio)
            for name in order
            for ratio in ratios
            for stage in stages[ratio]
            if stage.group.name == name and known.cell(name, ratio) is None
        ]
        total = sum(len(own) for own in stages.values())
        pace = Pace(len(cells), 0)
        for number, (stage, ratio) in enumerate(cells):
            with pace.stage():
                known.cells.append(self._cell(job, stage, ratio, measure, judged))
                on_main(lambda: known.write(folder))
            self._tell_progress(known, total, pace.seconds_left(number + 1, 0))
        on_main(lambda: draw_sensitivity(known, folder))
        return known

    def ratios_for(self, sensitivity: Sensitivity, target: Target) -> Allocation:
        """Ratios at which all groups lose equally much for what they save: ``ratios.json``.

        Args:
            sensitivity: what `measure` returned.
            target: the share of the dense detector's cost that may remain.

        Raises:
            CompressionError: the target cannot be reached.
        """
        folder = Path(self.work_dir)
        ratios = sorted({cell.ratio for cell in sensitivity.cells})
        stages = _by_name({ratio: self._stages_at(ratio) for ratio in ratios})
        return on_main(
            lambda: share_by_sensitivity(
                sensitivity,
                target,
                stages,
                self.job.dense,
                self.job.image_size,
                folder,
                self.logger.info,
            )
        )

    def _check(self, ratios: Sequence[float], measure: Measure, images: int) -> None:
        for ratio in ratios:
            if not 0 < ratio < 1:
                raise CompressionError(
                    f'--ratios {ratio:g} is the part of a group that goes: it must lie between 0 '
                    'and 1, both excluded'
                )
        if not ratios or len(set(ratios)) < len(ratios):
            raise CompressionError(f'--ratios must be different numbers, not {list(ratios)}')
        if images < 1:
            raise CompressionError(f'--images {images}: at least one image is needed')
        if measure != 'loss' and not validates(self):
            raise CompressionError('mAP is measured on the `val_dataloader`, which is not there')
        criterion = self.pruning.criterion
        if isinstance(criterion, LCP) and criterion.reference == 'full':
            raise CompressionError(
                f"{KEY}.criterion.reference='full' needs an auxiliary network, and none is "
                f"trained here: set {KEY}.criterion.reference='selected'"
            )

    def _stages_at(self, ratio: float) -> list[Stage]:
        config = dataclasses.replace(self.pruning, ratio=ratio, target=None)
        stages = choose_stages(self.job.detector, self.job.groups, config)[0]
        return suited_stages(self.job.dense, stages, config, spare=config.takes_all)[0]

    def _depends_on(self, measure: Measure, images: int) -> dict[str, Any]:
        """What decides on the figures."""
        call = {'seed': self.seed, '--measure': measure, '--images': images}
        return fingerprint({**dict(self.cfg.items()), **call}, UNUSED)

    def _go_on(self, fresh: Sensitivity, folder: Path) -> Sensitivity:
        """What the folder holds already, with the groups of this call."""
        known = on_main(lambda: read_sensitivity(folder))
        if known is None:
            return fresh
        if found := changes(known.fingerprint, fresh.fingerprint):
            raise CompressionError(
                f'{folder} holds figures of another config:{listed(found)}'
                'Choose another --out, or delete the folder.'
            )
        known.groups = fresh.groups
        known.cells = [cell for cell in known.cells if cell.group in fresh.groups]
        self.logger.info(f'{len(known.cells)} cells have been measured before')
        return known

    def _loss_images(self, images: int) -> list[SelectionImages]:
        """Other images than the selection's, as far as there are enough."""
        selection, called = self.pruning.selection, 'further images'
        return drawn(self, self.job.dense, selection, images, called, selection.num_images)

    def _cell(
        self,
        job: PruningJob,
        stage: Stage,
        ratio: float,
        measure: Measure,
        judged: list[SelectionImages] | None,
    ) -> SensitivityCell:
        """Prune one group of a copy of the dense detector, and measure."""
        began = time.monotonic()
        name = stage.group.name
        alone = job.alone()
        removal = remove_channels(
            alone,
            stage,
            self.pruning,
            derive(self.seed, 'criterion', job.groups.index(stage.group)),
            objective=self.pruning.objective.alone(),
        )
        values = self._values(alone.detector, measure, judged)
        return SensitivityCell(name, ratio, len(removal.keep), values, time.monotonic() - began)

    def _values(
        self, detector: nn.Module, measure: Measure, judged: list[SelectionImages] | None
    ) -> dict[str, float]:
        values = {}
        if measure != 'mAP':
            values[LOSS] = mean_loss(detector, judged)
        if measure != 'loss':
            values |= self.evaluate(detector, 'val')
        return values

    def _tell_progress(self, known: Sensitivity, total: int, left: float | None) -> None:
        cell = known.cells[-1]
        progress = f'{len(known.cells)}/{total}'
        if left:
            ends = time.strftime('%H:%M', time.localtime(time.time() + left))
            progress += f', about {format_seconds(left)} left, until {ends}'
        moved = []
        for key in known.measures():
            damage = known.damage(cell, key)
            moved.append(f'{key.rpartition("/")[2]} {damage if key == LOSS else -damage:+.4g}')
        self.logger.info(f'[{progress}] {cell.group}, {cell.ratio:g} removed: {", ".join(moved)}')

    def _tell_left_alone(self, job: PruningJob) -> None:
        for line in left_alone(job):
            self.logger.info(line)


def _by_name(stages: Mapping[float, Sequence[Stage]]) -> dict[str, Stage]:
    """A stage of each group, by the group's name."""
    return {stage.group.name: stage for own in stages.values() for stage in own}
