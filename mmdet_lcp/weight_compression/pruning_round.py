"""One round of connection pruning: masks from the weights that are left, and a training."""

from collections.abc import Mapping

from torch import Tensor, nn

from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.transforms import (
    ElementMask,
    attach,
    mask_by_quality,
    mask_by_sparsity,
    transforms_of,
)
from mmdet_lcp.transforms.ranking import fewest_left, masks_by_ranking
from mmdet_lcp.weight_compression.layers import require_finite
from mmdet_lcp.weight_compression.stage import TransformStage

SCOPES = ('layer', 'global', 'lamp')


class PruningRound(TransformStage):
    """New masks from the weights that are left, and a training.

    Args:
        name: for logs.
        asked: final sparsity or quality by layer.
        training: what follows.
        share: of what is asked that this round ends at, in (0, 1].
        scope: one of `SCOPES`, or ``'quality'``.
        most: see `ConnectionPruning`.
    """

    def __init__(
        self,
        name: str,
        asked: Mapping[str, float],
        training: PhaseConfig,
        share: float,
        scope: str,
        most: float,
    ) -> None:
        super().__init__(name, list(asked), training)
        self.asked = {path: share * value for path, value in asked.items()}
        self.scope = scope
        self.most = most

    def begin(self, detector: nn.Module, seed: int) -> dict[str, float]:
        """Put masks on, or make those that are there narrower; see `TransformStage.begin`."""
        layers = {path: detector.get_submodule(path) for path in self.layers}
        weights = {path: layer.weight.detach() for path, layer in layers.items()}
        for path, weight in weights.items():
            require_finite(path, weight)
        masks, capped = self._masks(weights)
        for path, layer in layers.items():
            # A weight that is gone reads as zero, as one that is zero by chance does.
            mask = masks[path] & (weights[path] != 0)
            _require_some(path, mask)
            _set_mask(layer, mask)
        return self._log(masks, weights, capped)

    def _masks(self, weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
        """Masks by layer, and how many layers would have lost more than `most`."""
        if self.scope in ('global', 'lamp'):
            (sparsity,) = set(self.asked.values())
            score = 'lamp' if self.scope == 'lamp' else 'magnitude'
            masks = masks_by_ranking(weights, sparsity, score, self.most)
            left = {path: fewest_left(mask.numel(), self.most) for path, mask in masks.items()}
            return masks, sum(int(masks[path].sum()) == left[path] for path in masks)
        masks, capped = {}, 0
        for path, weight in weights.items():
            choose = mask_by_quality if self.scope == 'quality' else mask_by_sparsity
            masks[path] = choose(weight, self.asked[path])
            fewest = fewest_left(weight.numel(), self.most)
            if int(masks[path].sum()) < fewest:
                capped += 1
                masks[path] = mask_by_sparsity(weight, 1 - fewest / weight.numel())
        return masks, capped

    def _log(
        self, masks: Mapping[str, Tensor], weights: Mapping[str, Tensor], capped: int
    ) -> dict[str, float]:
        total = sum(weight.numel() for weight in weights.values())
        gone = {path: 1 - float(mask.double().mean()) for path, mask in masks.items()}
        log = {}
        if self.scope != 'quality':
            asked = sum(self.asked[path] * weight.numel() for path, weight in weights.items())
            log['asked_sparsity'] = asked / total
        reached = sum(gone[path] * weight.numel() for path, weight in weights.items())
        log['sparsity'] = reached / total
        log['smallest_layer_sparsity'] = min(gone.values())
        log['largest_layer_sparsity'] = max(gone.values())
        if capped:
            log['layers_held_at_most'] = capped
        return log


def share_after(number: int, rounds: int) -> float:
    """The share of the final sparsity after round ``number`` of ``rounds``, in (0, 1]."""
    return 1 - (1 - number / rounds) ** 3


def _set_mask(layer: nn.Module, mask: Tensor) -> None:
    for transform in transforms_of(layer):
        if isinstance(transform, ElementMask):
            transform.mask.copy_(mask)
            return
    attach(layer, ElementMask(mask))


def _require_some(path: str, mask: Tensor) -> None:
    if not mask.any():
        raise CompressionError(
            f'{path}: every weight of the layer is zero, or would be pruned: nothing would get '
            'through it. Leave it out with `keep`, or start from a detector that has it trained'
        )
