"""Prune connections in rounds: single weights of small magnitude go, the others are trained.

Stage 1 of Deep Compression (Han et al., ICLR 2016, section 2), in rounds as in its forerunner,
Learning both Weights and Connections (Han et al., NeurIPS 2015), sections 3.1 and 3.4.
"""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_lcp.attachments.attached_detector import AttachedDetector, Attachment
from mmdet_lcp.criteria.checks import check_integer, check_not_negative
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import METHODS
from mmdet_lcp.runner.config import PhaseConfig, parse
from mmdet_lcp.runner.stages import Skipped
from mmdet_lcp.runner.weight_compression.by_layer import check_values, values_by_layer
from mmdet_lcp.runner.weight_compression.layers import choose_layers, matching, weight_layers
from mmdet_lcp.runner.weight_compression.stage import TransformMethod, TransformStage
from mmdet_lcp.transforms import (
    ElementMask,
    attach,
    mask_by_quality,
    mask_by_sparsity,
    transforms_of,
)
from mmdet_lcp.transforms.ranking import fewest_left, masks_by_ranking

SCOPES = ('layer', 'global', 'lamp')
USUAL_SPARSITY = 0.9


@METHODS.register_module()
class ConnectionPruning(TransformMethod):
    """Masks on the weights of convolutions and linear layers, predictions included.

    Of n rounds, round t ends at the share 1 - (1 - t/n)^3 of what is asked for: the schedule of
    Zhu and Gupta, "To prune, or not to prune" (2017), equation 1, which prunes fast while many
    connections are redundant and slowly when few are left. What is gone stays gone.

    Args:
        training: `PhaseConfig` of the training after each round.
        sparsity: fraction of connections that is gone in the end, in (0, 1); or a mapping from
            regular expression to fraction (the first match counts, a layer without a match is left
            alone). ``None`` takes 0.9, or nothing where there is a quality.
        quality: instead: what is below quality * sigma goes, sigma being the standard deviation
            of the layer's weights with those that are gone as zeros; > 0, or a mapping.
        scope: what a sparsity counts: ``'layer'``, every layer alone; ``'global'``, all layers
            together, with one threshold; ``'lamp'``, all together, with one threshold on the
            LAMP score, which no scaling of a layer changes.
        most: no layer loses more than this share of its connections, in (0, 1), and one stays at
            least: a layer without any would cut the network.
        rounds: >= 1.
        layers: regular expression, or several, searched in the layers' paths.
        keep: the same, for what is left alone; ``None`` is the first layer. It reads the image, is
            the one layer whose loss no other makes up for (the paper leaves more than half of it),
            and holds less than a thousandth of a detector's weights.
        last_training: of the last round; ``None`` is `training`.
        penalty: λ of a loss λ Σ w² over the connections in a training before the first round,
            which drives weights towards zero; 0 for none.
        penalty_training: `PhaseConfig` of it.

    Raises:
        CompressionError: by `check` and `stages`.
    """

    def __init__(
        self,
        training: Mapping[str, Any] | PhaseConfig | None = None,
        sparsity: float | Mapping[str, float] | None = None,
        quality: float | Mapping[str, float] | None = None,
        scope: str = 'layer',
        most: float = 0.99,
        rounds: int = 3,
        layers: str | Sequence[str] = '',
        keep: str | Sequence[str] | None = None,
        last_training: Mapping[str, Any] | PhaseConfig | None = None,
        penalty: float = 0.0,
        penalty_training: Mapping[str, Any] | PhaseConfig | None = None,
    ) -> None:
        self.training = training
        self.sparsity = USUAL_SPARSITY if sparsity is None and quality is None else sparsity
        self.quality = quality
        self.scope = scope
        self.most = most
        self.rounds = rounds
        self.layers = layers
        self.keep = keep
        self.last_training = last_training
        self.penalty = penalty
        self.penalty_training = penalty_training

    def check(self, where: str) -> None:
        """See `TransformMethod.check`."""
        if self.scope not in SCOPES:
            raise CompressionError(f'{where}.scope={self.scope!r}: use one of {", ".join(SCOPES)}')
        check_integer(f'{where}.rounds', self.rounds, least=1)
        _check_fraction(f'{where}.most', self.most)
        if self.quality is not None:
            self._check_quality(where)
        else:
            check_values(self.sparsity, f'{where}.sparsity', self._check_sparsity)
            if self.scope != 'layer' and isinstance(self.sparsity, Mapping):
                raise CompressionError(
                    f'{where}.scope={self.scope!r} counts all layers together and takes one '
                    f"sparsity; take scope='layer' with a mapping, or {where}.layers to leave "
                    'layers out'
                )
        check_not_negative(f'{where}.penalty', self.penalty)
        if (self.penalty > 0) != (self.penalty_training is not None):
            raise CompressionError(
                f'{where}.penalty={self.penalty!r} and {where}.penalty_training belong together: '
                'give both, or neither'
            )
        self.training = training_of(self.training, f'{where}.training')
        if self.last_training is not None:
            self.last_training = training_of(self.last_training, f'{where}.last_training')
        if self.penalty_training is not None:
            self.penalty_training = training_of(self.penalty_training, f'{where}.penalty_training')

    def _check_quality(self, where: str) -> None:
        def positive(key: str, value: Any) -> None:
            check_not_negative(key, value)
            if value == 0:
                raise CompressionError(f'{key}=0 would prune nothing: it must be above 0')

        check_values(self.quality, f'{where}.quality', positive)
        if self.sparsity is not None:
            raise CompressionError(
                f'{where}.sparsity={self.sparsity!r} and {where}.quality both say how many '
                f'connections go: set {where}.sparsity=None to take the quality, '
                f'{where}.quality=None to take the sparsity'
            )
        if self.scope != 'layer':
            raise CompressionError(
                f'{where}.scope={self.scope!r} goes with a sparsity; a quality is that of each '
                "layer: take scope='layer'"
            )

    def _check_sparsity(self, key: str, value: Any) -> None:
        _check_fraction(key, value)
        if value > self.most:
            raise CompressionError(
                f'{key}={value!r} would leave less of a layer than most={self.most!r} allows; '
                'raise `most`, or lower the sparsity'
            )

    def stages(
        self, detector: nn.Module, where: str
    ) -> tuple[list[TransformStage], list[Skipped]]:
        """See `TransformMethod.stages`: the training with a penalty, if any, then the rounds."""
        self.check(where)
        found = weight_layers(detector)
        if self.keep is None:
            first = next(iter(found), None)
            left_alone = {first: f'reads the image (to prune it, set {where}.keep=[])'}
        else:
            kept = matching(found, self.keep, f'{where}.keep')
            left_alone = dict.fromkeys(kept, f'in {where}.keep')
        paths, skipped = choose_layers(detector, self.layers, left_alone, where)
        key = 'sparsity' if self.quality is None else 'quality'
        asked = values_by_layer(getattr(self, key), paths, f'{where}.{key}')
        skipped += [
            Skipped(path, f'{where}.{key} has no pattern that matches it')
            for path in paths
            if path not in asked
        ]
        stages: list[TransformStage] = []
        if self.penalty:
            stages.append(PenaltyStage(list(asked), self.penalty_training, self.penalty))
        for number in range(1, self.rounds + 1):
            share = share_after(number, self.rounds)
            last = number == self.rounds and self.last_training is not None
            stages.append(
                PruningRound(
                    f'pruning round {number} of {self.rounds}',
                    asked,
                    self.last_training if last else self.training,
                    share,
                    self.scope if self.quality is None else 'quality',
                    self.most,
                )
            )
        return stages, skipped

    @property
    def scheme(self) -> str:
        """See `TransformMethod.scheme`."""
        key = 'sparsity' if self.quality is None else 'quality'
        value = getattr(self, key)
        shown = 'by layer' if isinstance(value, Mapping) else f'{value:g}'
        scope = '' if self.scope == 'layer' else f', {self.scope}'
        return f'connections pruned, {key} {shown}{scope}'


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


def training_of(given: Any, where: str) -> PhaseConfig:
    """The training that a method's config asks for, checked.

    Raises:
        CompressionError: it is missing, or something in it is wrong.
    """
    if given is None:
        raise CompressionError(f'{where} is missing: say how long is trained, e.g. max_epochs=4')
    config = given if isinstance(given, PhaseConfig) else parse(PhaseConfig, given, where)
    config.check(where)
    return config


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


def _check_fraction(key: str, value: Any) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not 0 < value < 1:
        raise CompressionError(
            f'{key}={value!r} must be a fraction between 0 and 1, both excluded'
        )
