"""WeightCompressionJob: what the compression of one detector's weights works on."""

from dataclasses import dataclass

from torch import nn

from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.weight_compression.config import WeightCompressionConfig
from mmdet_lcp.weight_compression.stage import TransformStage


@dataclass
class WeightCompressionJob:
    """The one owner of what a run works on.

    Attributes:
        dense: the detector before any change, frozen.
        detector: the present one; stages change it in place.
        image_size: (height, width) in pixels of the images that it is deployed on.
        stages: of all methods, in order.
        skipped: layers that are left alone, and why.
        schemes: what becomes of each changed layer, in words, by path.
    """

    dense: nn.Module
    detector: nn.Module
    image_size: tuple[int, int]
    stages: list[TransformStage]
    skipped: list[Skipped]
    schemes: dict[str, str]

    @classmethod
    def lay_out(
        cls,
        detector: nn.Module,
        dense: nn.Module,
        image_size: tuple[int, int],
        config: WeightCompressionConfig,
    ) -> 'WeightCompressionJob':
        """Let every method lay out its stages.

        Args:
            detector: the trained detector; stages change it in place.
            dense: a frozen copy of it.
            image_size: (height, width) in pixels.
            config: the methods, in order.

        Raises:
            CompressionError: a pattern matches no layer, or a method has nothing to change.
        """
        stages: list[TransformStage] = []
        schemes: dict[str, str] = {}
        reasons: dict[str, str] = {}
        for name, method in config.methods.items():
            own, skipped = method.stages(dense, f'weight_compression.methods.{name}')
            stages += own
            for path in dict.fromkeys(path for stage in own for path in stage.layers):
                before = schemes.get(path)
                schemes[path] = f'{before}; {method.scheme}' if before else method.scheme
            reasons |= {item.name: item.reason for item in skipped}
        left = [Skipped(name, why) for name, why in reasons.items() if name not in schemes]
        return cls(dense, detector, image_size, stages, left, schemes)
