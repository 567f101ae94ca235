"""The end of weight compression: a plain checkpoint and config, and the packed file."""

from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from mmdet_lcp.codec import PackedReader, init_packed_detector, pack_detector, tensor_facts
from mmdet_lcp.codec.storage import storage
from mmdet_lcp.config.handed_out import FURTHER, handed_out_config
from mmdet_lcp.config.names import named_config
from mmdet_lcp.copies import detached_copy
from mmdet_lcp.engine.finish import Finish, FinishingRunner
from mmdet_lcp.engine.phase_loop import Phase
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.files import write_text
from mmdet_lcp.models.binary_input_detector import binary_input_model_cfg
from mmdet_lcp.plain_weights import write_weights
from mmdet_lcp.report.facts import DetectorFacts, SkippedLayer, WeightFacts
from mmdet_lcp.transforms import fold, input_transforms
from mmdet_lcp.weight_compression.config import KEY, WeightCompressionConfig
from mmdet_lcp.weight_compression.job import WeightCompressionJob

CONFIG = 'compressed_config.py'
WEIGHTS = 'compressed.pth'
PACKED = 'compressed.lcp'


def compressed_config(
    cfg: Config, detector: nn.Module, work_dir: Path, pretty: bool = True
) -> Config:
    """The config of the compressed detector: the run's own, without what only the run needs.

    Args:
        cfg: the run's config.
        detector: the compressed detector; its input transforms go into `model`.
        work_dir: the run's folder.
        pretty: as `handed_out_config` takes it.
    """
    inputs = {path: part.spec() for path, part in input_transforms(detector).items()}
    model = binary_input_model_cfg(named_config(cfg).to_dict()['model'], inputs)
    return handed_out_config(cfg, (KEY,), work_dir / WEIGHTS, work_dir / FURTHER, model, pretty)


class WeightCompressionFinish(Finish):
    """Measures and reports for a `WeightCompressionRunner`.

    Args:
        runner: see `Finish`.
        job: the detectors, and what became of each layer.
        cfg: the run's config.
        compression: its `weight_compression` key.
    """

    def __init__(
        self,
        runner: FinishingRunner,
        job: WeightCompressionJob,
        cfg: Config,
        compression: WeightCompressionConfig,
    ) -> None:
        super().__init__(runner, job.dense, job.image_size)
        self.job, self.cfg, self.compression = job, cfg, compression

    @property
    def file(self) -> Path:
        """The packed file."""
        return self.work_dir / PACKED

    def phases(self) -> list[tuple[str, Phase]]:
        """See `Finish.phases`."""
        stages = self.job.stages
        return [
            (f'training of {s.name}', p) for s, p in zip(stages, self.runner.phases, strict=True)
        ]

    def deliver(self, meta: dict[str, Any]) -> None:
        """Write checkpoint, config and packed file, each atomically."""
        folded = fold(detached_copy(self.job.detector))
        write_weights(self.work_dir / WEIGHTS, folded.state_dict(), meta)
        config = compressed_config(self.cfg, self.job.detector, self.work_dir)
        write_text(self.work_dir / CONFIG, config.pretty_text)
        pack_detector(self.work_dir / WEIGHTS, config, self.file, self.compression.pack)

    def read_back(self) -> nn.Module:
        """The detector out of the packed file."""
        device = str(next(self.job.dense.parameters()).device)
        return init_packed_detector(self.file, device=device)

    def told(self, compressed: DetectorFacts) -> dict[str, Any]:
        """The methods, what was left alone, and every tensor of the packed file."""
        return dict(self.told_so_far(), weights=on_main(self._weights))

    def told_so_far(self) -> dict[str, Any]:
        """The methods, and what is left alone."""
        return dict(
            method=self.compression.title,
            skipped=[SkippedLayer(item.name, item.reason) for item in self.job.skipped],
        )

    def _weights(self) -> list[WeightFacts]:
        """Every tensor of the packed file."""
        packed = PackedReader(self.file)
        dense = self.job.dense.state_dict()
        schemes = self.job.schemes
        packed_as = self.compression.pack
        facts = []
        for found in tensor_facts(packed):
            name, tensor = found.record.name, packed.decode(found.record.name).tensor
            layer, _, kind = name.rpartition('.')
            before = dense.get(name, tensor)
            stored = storage(tensor, packed_as.gap_bits(tensor.dim()))
            facts.append(
                WeightFacts(
                    name,
                    schemes.get(layer, '') if kind == 'weight' else '',
                    tensor.numel(),
                    int(tensor.count_nonzero()),
                    before.numel() * before.element_size(),
                    found.record.size,
                    stored.sparse,
                    stored.shared,
                )
            )
        return facts
