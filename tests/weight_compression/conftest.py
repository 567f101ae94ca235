"""A method so simple that what the runner does to it can be told by hand."""

from pathlib import Path

import pytest
import tiny
import torch
from torch import nn

from mmdet_lcp.config.keys import parse
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.registry import METHODS
from mmdet_lcp.transforms import ElementMask, attach
from mmdet_lcp.weight_compression import TransformMethod, TransformStage

# Digits, three iterations an epoch; two layers, one stage each.
COMPRESSION = """
runner_type = 'mmdet_lcp.WeightCompressionRunner'
weight_compression = dict(
    methods=dict(positive=dict(
        type='Positive', layers=['backbone.stage3.0.conv', 'backbone.stage4.0.conv'],
        training=dict(max_epochs=2, lr=0.01))),
    evaluate=[],
)
"""


class PositiveStage(TransformStage):
    """Negative weights are pruned; the layer is frozen behind its training."""

    def begin(self, detector: nn.Module, seed: int) -> dict[str, float]:
        for path in self.layers:
            layer = detector.get_submodule(path)
            attach(layer, ElementMask(layer.weight > 0))
        return {'left': float((layer.weight != 0).float().mean())}

    def end(self, detector: nn.Module) -> dict[str, float]:
        for path in self.layers:
            detector.get_submodule(path).requires_grad_(False)
        return {}


@METHODS.register_module(force=True)
class Positive(TransformMethod):
    """Keep what is positive."""

    scheme = 'positive'

    def __init__(self, layers: list[str], training: dict) -> None:
        self.layers, self.training = layers, training

    def check(self, where: str) -> None:
        self.phase = parse(PhaseConfig, self.training, f'{where}.training')
        self.phase.check(f'{where}.training')

    def stages(self, detector: nn.Module, where: str):
        stages = [PositiveStage(f'stage of {path}', [path], self.phase) for path in self.layers]
        return stages, [Skipped('backbone.stage1.0.conv', 'it is the first')]


@pytest.fixture(scope='session')
def write_compression(write_config):
    """Write a tiny weight compression config with some changes."""

    def write(name: str, extra: str = '') -> Path:
        path = write_config(name)
        text = path.read_text()
        begin = text.index('pruning = dict(')
        path.write_text(
            text[:begin].replace(f"    '{tiny.ROOT}/configs/_base_/pruning/lcp.py',\n", '')
            + COMPRESSION
            + extra
        )
        return path

    return write


def dense_weights(config: Path) -> dict[str, torch.Tensor]:
    return torch.load(config.parent / 'dense.pth', weights_only=True)['state_dict']
