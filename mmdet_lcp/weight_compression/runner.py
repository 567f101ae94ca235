"""WeightCompressionRunner: an mmengine runner that compresses a trained detector's weights.

Methods of different papers are lists of stages here; of each stage the weights are changed, and
trained. At the end the detector is folded into a plain one, and packed into one file.
"""

from typing import Any

from mmdet_lcp.engine.pace import Pace
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.engine.staged_runner import StagedRunner
from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.registry import RUNNERS
from mmdet_lcp.seeds import derive
from mmdet_lcp.transforms import describe, rebuild
from mmdet_lcp.weight_compression.config import WeightCompressionConfig
from mmdet_lcp.weight_compression.finish import WeightCompressionFinish
from mmdet_lcp.weight_compression.stage import TransformStage


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
    saves_checkpoints = False  # no tool of mmdet could read one with transforms
    stages: list[TransformStage]

    def __init__(self, **kwargs: Any) -> None:
        self.compression = WeightCompressionConfig.from_cfg(kwargs.get('cfg') or {})
        super().__init__(**kwargs)

    def _prepare(self) -> None:
        """Lay out all stages, and begin or resume."""
        self.build_phase_loop()
        self._load_dense()
        self._lay_out()
        self._tell_stages()
        self.plan_phases([stage.training for stage in self.stages])
        self.pace = Pace(len(self.stages), self.max_iters)
        on_main(lambda: self.state.begin(self._fingerprint, self.seed, self._load_from))
        self.call_hook('before_run')
        self._finish = WeightCompressionFinish(self)
        saved = self.state.load_stage()
        if saved is None:
            self._begin()
        else:
            rebuild(self.detector, saved['transforms'], saved['detector'])
            self._resume_from(saved)

    def _lay_out(self) -> None:
        """Set `stages`, `skipped` and `schemes`, the words for each changed layer."""
        self.stages = []
        self.schemes: dict[str, str] = {}
        reasons: dict[str, str] = {}
        for name, method in self.compression.methods.items():
            stages, skipped = method.stages(self.dense, f'weight_compression.methods.{name}')
            self.stages += stages
            for path in dict.fromkeys(path for stage in stages for path in stage.layers):
                before = self.schemes.get(path)
                self.schemes[path] = f'{before}; {method.scheme}' if before else method.scheme
            reasons |= {item.name: item.reason for item in skipped}
        self.skipped = [Skipped(n, r) for n, r in reasons.items() if n not in self.schemes]

    def _run_stage(self, number: int) -> None:
        """Change weights, train, and write it down."""
        stage = self.stages[number]
        self.logger.info(
            f'Stage {number + 1}/{len(self.stages)}: {stage.name}, {len(stage.layers)} layers, '
            f'{self._time_text()}'
        )
        resumed = self.state.load_progress(number) is not None
        log = stage.begin(self.detector, derive(self.seed, 'transforms', number))
        self._tell(stage.name, log)
        if 'transformed' in self.compression.evaluate and not resumed:
            self.record('transformed', self.detector, stage.name)
        self.train_phase(number, stage.trained(self.detector))
        self._tell(stage.name, stage.end(self.detector))
        if 'trained' in self.compression.evaluate:
            self.record('trained', self.detector, stage.name)
        self._stages_done = number + 1
        self._save_stage()

    def stage_data(self, **more: Any) -> dict[str, Any]:
        """What a resumed run needs of the stages so far."""
        return super().stage_data(transforms=describe(self.detector), **more)

    def _tell(self, name: str, log: dict[str, float]) -> None:
        if log:
            shown = ', '.join(f'{key} {value:.4g}' for key, value in log.items())
            self.logger.info(f'{name}: {shown}')

    def _tell_stages(self) -> None:
        self.logger.info(f'{len(self.stages)} stages change {len(self.schemes)} layers:')
        for stage in self.stages:
            self.logger.info(f'  {stage.name}: {", ".join(stage.layers)}')
        self.logger.info(f'{len(self.skipped)} are left alone:')
        for item in self.skipped:
            self.logger.info(f'  {item.name}: {item.reason}')
