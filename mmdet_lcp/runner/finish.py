"""The end of a run: measure before and after, hand out the detector, write the report.

The detector that is measured last is read back from the files that are handed out.
"""

import copy
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmdet.registry import MODELS
from torch import nn

from mmdet_lcp.analysis.cost import backbone_macs, detector_cost, paired_latency_ms
from mmdet_lcp.analysis.pictures import detections_side_by_side
from mmdet_lcp.analysis.report import (
    DETECTIONS_PNG,
    REPORT_JSON,
    DetectorFacts,
    Report,
    SkippedLayer,
    TargetFacts,
    read_report,
)
from mmdet_lcp.analysis.report_pages import summary_text, write_report
from mmdet_lcp.runner.checkpoint import load_detector
from mmdet_lcp.runner.delivery import (
    PRUNED_WEIGHTS,
    command_line,
    deliver,
    pruned_config,
)
from mmdet_lcp.runner.ranks import on_main

if TYPE_CHECKING:
    from mmdet_lcp.runner.pruning_runner import PruningRunner


class Finish:
    """Measures and reports for one runner.

    Args:
        runner: the runner; it has its dense detector.
    """

    def __init__(self, runner: 'PruningRunner') -> None:
        self.runner = runner
        self.work_dir = Path(runner.work_dir)
        self.dense = DetectorFacts()
        self.pruned_metrics: dict[str, float] = {}

    @property
    def done(self) -> bool:
        """Whether the run has ended before."""
        saved = self.runner.state.load_stage()
        return bool(saved and saved.get('finished'))

    def measure_dense(self) -> None:
        """Measure the detector that pruning begins with."""
        self.dense = self._measure(self.runner.dense)

    def measure_pruned(self, detector: nn.Module) -> None:
        """Measure the detector after the last stage, before it is retrained."""
        self.pruned_metrics = self._metrics(detector)

    def data(self) -> dict[str, Any]:
        """What `load` takes."""
        return {'dense': vars(self.dense), 'pruned_metrics': self.pruned_metrics}

    def load(self, data: dict[str, Any]) -> None:
        """Take the measurements of an earlier process."""
        self.dense = DetectorFacts(**data['dense'])
        self.pruned_metrics = data['pruned_metrics']

    def run(self, seconds: float) -> nn.Module:
        """Hand out the pruned detector and report; returns it as it was read back.

        Args:
            seconds: wall time of the run so far.
        """
        runner = self.runner
        meta = {'dataset_meta': _plain(runner.train_dataloader.dataset.metainfo)}
        on_main(lambda: deliver(runner.cfg, runner.detector, runner.plan, self.work_dir, meta))
        detector = self._read_back()
        runner.record('final', detector)
        compressed = self._measure(detector)
        compressed.file_bytes = (self.work_dir / PRUNED_WEIGHTS).stat().st_size
        self.dense.latency_ms, compressed.latency_ms = paired_latency_ms(
            runner.dense, detector, runner.image_size
        )
        report = Report(
            method=runner.pruning.method or type(runner.pruning.criterion).__name__,
            seed=runner.seed,
            command=command_line(),
            seconds=seconds,
            dense=self.dense,
            compressed=compressed,
            groups=runner.group_facts,
            skipped=[SkippedLayer(item.name, item.reason) for item in runner.skipped],
            steps=runner.steps,
            pruned_metrics=self.pruned_metrics,
            target=self._target(compressed),
        )
        on_main(lambda: self._write(report, detector))
        return detector

    def _target(self, compressed: DetectorFacts) -> TargetFacts | None:
        """What was asked for and what has come of it, if there was a target."""
        allocation = self.runner.allocation
        if allocation is None:
            return None
        key = 'latency_ms' if allocation.cost == 'latency' else allocation.cost
        reached = getattr(compressed, key) / getattr(self.dense, key)
        return TargetFacts(
            allocation.cost, allocation.asked, allocation.predicted, reached, allocation.floor
        )

    def show(self) -> nn.Module:
        """The result of a run that has ended before."""
        report = read_report(self.work_dir / REPORT_JSON)
        self.runner.logger.info('\n' + summary_text(report))
        return self._read_back()

    def _write(self, report: Report, detector: nn.Module) -> None:
        runner = self.runner
        loop = runner.test_loop if runner.test_loop is not None else runner.val_loop
        detections_side_by_side(
            runner.dense, detector, loop.dataloader.dataset, self.work_dir / DETECTIONS_PNG
        )
        write_report(report, self.work_dir)
        runner.state.save_stage(runner.stage_data(finished=True))
        runner.logger.info('\n' + summary_text(report))
        runner.logger.info(f'Config, weights, plan, report and pictures: {self.work_dir}')

    def _read_back(self) -> nn.Module:
        """The pruned detector, built and loaded as any user of it would."""
        runner = self.runner
        cfg = pruned_config(runner.cfg, runner.plan, self.work_dir)
        detector = MODELS.build(copy.deepcopy(cfg.model))
        load_detector(detector, self.work_dir / PRUNED_WEIGHTS)
        return detector.to(next(runner.dense.parameters()).device).eval()

    def _metrics(self, detector: nn.Module) -> dict[str, float]:
        loop = 'test' if self.runner.test_loop is not None else 'val'
        return self.runner.evaluate(detector, loop)

    def _measure(self, detector: nn.Module) -> DetectorFacts:
        runner = self.runner
        return DetectorFacts(
            metrics=self._metrics(detector),
            backbone_macs=backbone_macs(detector, runner.image_size),
            file_bytes=_weight_bytes(detector),
            **detector_cost(detector, runner.image_size),
        )


def _weight_bytes(detector: nn.Module) -> int:
    """Size of a checkpoint that holds the weights alone."""
    buffer = io.BytesIO()
    torch.save({'state_dict': detector.state_dict()}, buffer)
    return buffer.tell()


def _plain(metainfo: dict[str, Any]) -> dict[str, Any]:
    """Class names and colours, without what the safe loader would refuse."""
    return {key: metainfo[key] for key in ('classes', 'palette') if key in metainfo}
