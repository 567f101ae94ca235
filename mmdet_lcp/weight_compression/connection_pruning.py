"""Prune connections in rounds: single weights of small magnitude go, the others are trained.

Stage 1 of Deep Compression (Han et al., ICLR 2016, section 2), in rounds as in its forerunner,
Learning both Weights and Connections (Han et al., NeurIPS 2015), sections 3.1 and 3.4.
"""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from torch import nn

from mmdet_lcp.config.checks import check_integer, check_not_negative
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.registry import METHODS
from mmdet_lcp.weight_compression.by_layer import check_values, values_by_layer
from mmdet_lcp.weight_compression.layers import choose_layers, matching, weight_layers
from mmdet_lcp.weight_compression.penalty import PenaltyStage
from mmdet_lcp.weight_compression.pruning_round import SCOPES, PruningRound, share_after
from mmdet_lcp.weight_compression.stage import TransformMethod, TransformStage
from mmdet_lcp.weight_compression.training import training_of

USUAL_SPARSITY = 0.9


@METHODS.register_module()
class ConnectionPruning(TransformMethod):
    """Masks on the weights of convolutions and linear layers, predictions included.

    Of n rounds, round t ends at the share 1 - (1 - t/n)^3 of what is asked for: the schedule of
    Zhu and Gupta, "To prune, or not to prune" (2017), equation 1, which prunes fast while many
    connections are redundant and slowly when few are left. What is gone stays gone.

    Args:
        training: training after each round; keys of `PhaseConfig`.
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
        rounds: rounds of pruning and training, >= 1.
        layers: regular expression, or several, searched in the layers' paths.
        keep: the same, for what is left alone; ``None`` is the first layer. It reads the image, is
            the one layer whose loss no other makes up for (the paper leaves more than half of it),
            and holds less than a thousandth of a detector's weights.
        last_training: the same after the last round; ``None`` is `training`.
        penalty: λ of a loss λ Σ w² over the connections in a training before the first round,
            which drives weights towards zero; 0 for none.
        penalty_training: that training.

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


def _check_fraction(key: str, value: Any) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not 0 < value < 1:
        raise CompressionError(f'{key}={value!r} must lie between 0 and 1, both excluded')
