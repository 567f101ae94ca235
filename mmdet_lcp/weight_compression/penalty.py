"""Drive weights towards zero before they are pruned: a loss λ Σ w² beside the detector's own.

Learning both Weights and Connections (Han et al., NeurIPS 2015), section 3.1: with an L2 penalty
the weights that are not needed become small, and fewer are lost that matter.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_lcp.auxiliary.attached_detector import AttachedDetector, Attachment
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.weight_compression.stage import TransformStage


class PenaltyStage(TransformStage):
    """A training in which λ Σ w² over the connections is a part of the loss.

    Args:
        layers: module paths.
        training: its length.
        penalty: λ, > 0.
    """

    def __init__(self, layers: Sequence[str], training: PhaseConfig, penalty: float) -> None:
        super().__init__('penalty before pruning', layers, training)
        self.penalty = penalty

    def begin(self, detector: nn.Module, seed: int) -> dict[str, float]:
        """See `TransformStage.begin`; nothing changes before the training."""
        return {'mean_square': self._mean_square(detector)}

    def trained(self, detector: nn.Module) -> nn.Module:
        """See `TransformStage.trained`."""
        layers = [detector.get_submodule(path) for path in self.layers]
        return AttachedDetector(detector, {'penalty': SquaredWeights(layers, self.penalty)})

    def end(self, detector: nn.Module) -> dict[str, float]:
        """See `TransformStage.end`."""
        return {'mean_square': self._mean_square(detector)}

    def _mean_square(self, detector: nn.Module) -> float:
        weights = [detector.get_submodule(path).weight.detach() for path in self.layers]
        squares = sum(float(weight.double().square().sum()) for weight in weights)
        return squares / sum(weight.numel() for weight in weights)


class SquaredWeights(Attachment):
    """λ Σ w², as a loss beside the detector's own.

    Args:
        layers: whose weights are summed; they stay the detector's, and are no part of this module.
        factor: λ.
    """

    name = 'penalty'

    def __init__(self, layers: Sequence[nn.Module], factor: float) -> None:
        super().__init__()
        self.paths: list[str] = []
        self._layers = tuple(layers)  # a tuple, so that they do not become submodules
        self.factor = factor

    def losses(self, taps: Mapping[str, Any], data_samples: list) -> dict[str, Tensor]:
        """One loss, ``loss_penalty``."""
        squares = [layer.weight.square().sum() for layer in self._layers]
        return {'loss_penalty': self.factor * torch.stack(squares).sum()}
