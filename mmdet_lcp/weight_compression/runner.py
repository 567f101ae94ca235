"""WeightCompressionRunner: an mmengine runner that compresses a trained detector's weights.

Methods of different papers are lists of stages here; of each stage the weights are changed, and
trained. At the end the detector is folded into a plain one, and packed into one file.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

from mmdet_lcp.codec import check_packable
from mmdet_lcp.compat.mmengine import starting_weights
from mmdet_lcp.engine.image_size import deployed_image_size
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.engine.rehearsal import rehearse
from mmdet_lcp.engine.staged_runner import StagedRunner
from mmdet_lcp.registry import RUNNERS
from mmdet_lcp.seeds import derive
from mmdet_lcp.transforms import describe, rebuild
from mmdet_lcp.weight_compression.config import KEY, WeightCompressionConfig
from mmdet_lcp.weight_compression.finish import WeightCompressionFinish, compressed_config
from mmdet_lcp.weight_compression.job import WeightCompressionJob


@RUNNERS.register_module()
class WeightCompressionRunner(StagedRunner):
    """Compresses weights as the config's `weight_compression` key says.

    See `WeightCompressionConfig`. Takes what mmengine's `Runner` takes, through
    ``runner_type='mmdet_lcp.WeightCompressionRunner'``. ``load_from`` names the trained detector.
    ``train()`` writes into ``work_dir``: ``compressed.lcp``, the packed detector;
    ``compressed.pth`` and ``compressed_config.py``, the same as plain files; ``report.json``,
    ``report.md`` and pictures. Killed at any moment, a run goes on with ``resume=True`` and ends
    with the same weights.

    Raises:
        CompressionError: something in config, checkpoint or data has to be mended first.
    """

    state_folder = 'weight_compression_state'
    reads = (KEY,)
    saves_checkpoints = False  # no tool of mmdet could read one with transforms

    def __init__(self, **kwargs: Any) -> None:
        self.compression = WeightCompressionConfig.from_cfg(kwargs.get('cfg') or {})
        super().__init__(**kwargs)

    @cached_property
    def job(self) -> WeightCompressionJob:
        """See `StagedRunner.job`."""
        self.build_phase_loop()
        detector, dense = self.load_dense()
        size = deployed_image_size(self, detector)
        job = WeightCompressionJob.lay_out(detector, dense, size, self.compression)
        config = compressed_config(self.cfg, detector, Path(self.work_dir), pretty=False)
        rehearse(config, detector)
        check_packable(config)
        self.check_training([stage.training for stage in job.stages])
        return job

    @cached_property
    def finish(self) -> WeightCompressionFinish:
        """See `StagedRunner.finish`."""
        return WeightCompressionFinish(self, self.job, self.cfg, self.compression)

    def try_out(self) -> None:
        """See `StagedRunner.try_out`: data, stages and training."""
        self.job  # noqa: B018  is built when it is first asked for

    def prepare(self) -> None:
        """Lay out all stages, and begin or resume."""
        stages = self.job.stages
        self._tell_stages()
        self.plan_phases([stage.training for stage in stages], len(stages))
        on_main(lambda: self.state.begin(self._fingerprint, self.seed, starting_weights(self)))
        self.call_hook('before_run')
        saved = self.state.load_stage()
        if saved is None:
            self.begin()
        else:
            rebuild(self.job.detector, saved['transforms'], saved['detector'])
            self.resume_from(saved)

    def run_stage(self, number: int) -> None:
        """Change weights, train, and write it down."""
        stages, detector = self.job.stages, self.job.detector
        stage = stages[number]
        self.logger.info(
            f'Stage {number + 1}/{len(stages)}: {stage.name}, {len(stage.layers)} layers, '
            f'{self.time_text()}'
        )
        resumed = self.state.load_progress(number) is not None
        log = stage.begin(detector, derive(self.seed, 'transforms', number))
        self._tell(stage.name, log)
        if 'transformed' in self.compression.evaluate and not resumed:
            self.record('transformed', detector, stage.name)
        self.train_phase(number, stage.trained(detector))
        self._tell(stage.name, stage.end(detector))
        if 'trained' in self.compression.evaluate:
            self.record('trained', detector, stage.name)
        self.stage_done(number)

    def stage_data(self, **more: Any) -> dict[str, Any]:
        """What a resumed run needs of the stages so far."""
        return super().stage_data(transforms=describe(self.job.detector), **more)

    def _tell(self, name: str, log: dict[str, float]) -> None:
        if log:
            shown = ', '.join(f'{key} {value:.4g}' for key, value in log.items())
            self.logger.info(f'{name}: {shown}')

    def _tell_stages(self) -> None:
        job = self.job
        self.logger.info(f'{len(job.stages)} stages change {len(job.schemes)} layers:')
        for stage in job.stages:
            self.logger.info(f'  {stage.name}: {", ".join(stage.layers)}')
        self.logger.info(f'{len(job.skipped)} are left alone:')
        for item in job.skipped:
            self.logger.info(f'  {item.name}: {item.reason}')
