"""Share the weights of a layer between a few centroids, and train the centroids.

Stage 2 of Deep Compression (Han et al., ICLR 2016, section 3): k-means of each layer's weights,
of those that are left where connections have been pruned; then the centroids are trained, the
gradient of each being the sum over the weights that share it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from mmdet_lcp.config.checks import check_integer
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.registry import METHODS
from mmdet_lcp.seeds import derive
from mmdet_lcp.transforms import Codebook, attach, transforms_of
from mmdet_lcp.transforms.codebook import GRADIENTS, MAX_BITS
from mmdet_lcp.transforms.kmeans import INITS
from mmdet_lcp.weight_compression.by_layer import (
    check_values,
    layer_type,
    values_by_layer,
    without_delete,
)
from mmdet_lcp.weight_compression.layers import (
    choose_layers,
    matching,
    require_finite,
    weight_layers,
)
from mmdet_lcp.weight_compression.stage import TransformMethod, TransformStage
from mmdet_lcp.weight_compression.training import training_of


@METHODS.register_module()
class WeightSharing(TransformMethod):
    """Codebooks on the weights of convolutions and linear layers, predictions included.

    Weights that are exactly zero stay so, and count as one of the 2^b values.

    Args:
        training: training of centroids, norms and biases, keys of `PhaseConfig`; what else has
            no codebook is trained too.
        bits: b, in [1, 8]: 2^b values in a layer; or a mapping from regular expression to bits,
            searched in the layers' paths (the first match counts, a layer without a match is left
            alone), in which ``'conv'`` and ``'fc'`` stand for all layers of that type. ``None``
            is the paper's ``dict(conv=8, fc=5)``.
        init: where the centroids begin: ``'linear'``, the paper's choice, ``'density'`` or
            ``'random'``.
        gradient: ``'sum'`` over the members of a centroid, the paper's and the true one; or
            ``'mean'``: a step then takes a centroid as far as its members would have gone on
            average without it, so that a learning rate of the detector's own fits.
        layers: regular expression, or several, searched in the layers' paths.
        keep: the same, for what is left alone.

    Raises:
        CompressionError: by `check` and `stages`.
    """

    def __init__(
        self,
        training: Mapping[str, Any] | PhaseConfig | None = None,
        bits: int | Mapping[str, int] | None = None,
        init: str = 'linear',
        gradient: str = 'sum',
        layers: str | Sequence[str] = '',
        keep: str | Sequence[str] = (),
    ) -> None:
        self.training = training
        self.bits = dict(conv=8, fc=5) if bits is None else bits
        self.init = init
        self.gradient = gradient
        self.layers = layers
        self.keep = keep

    def check(self, where: str) -> None:
        """See `TransformMethod.check`."""
        for key, values in (('init', INITS), ('gradient', GRADIENTS)):
            if getattr(self, key) not in values:
                raise CompressionError(
                    f'{where}.{key}={getattr(self, key)!r}: use one of {", ".join(values)}'
                )
        check_values(self.bits, f'{where}.bits', _check_bits)
        self.training = training_of(self.training, f'{where}.training')

    def stages(
        self, detector: nn.Module, where: str
    ) -> tuple[list[TransformStage], list[Skipped]]:
        """See `TransformMethod.stages`: a single one."""
        self.check(where)
        found = weight_layers(detector)
        kept = matching(found, self.keep, f'{where}.keep')
        left_alone = dict.fromkeys(kept, f'in {where}.keep')
        paths, skipped = choose_layers(detector, self.layers, left_alone, where)
        types = {path: layer_type(found[path]) for path in paths}
        bits = values_by_layer(self.bits, paths, f'{where}.bits', types)
        skipped += [
            Skipped(path, f'{where}.bits has no pattern that matches it')
            for path in paths
            if path not in bits
        ]
        if not bits:
            raise CompressionError(
                f'{where}.bits={self.bits!r} matches none of the {len(paths)} layers'
            )
        stage = SharingStage(bits, self.training, self.init, self.gradient)
        return [stage], skipped

    @property
    def scheme(self) -> str:
        """See `TransformMethod.scheme`."""
        if not isinstance(self.bits, Mapping):
            return f'shared values, {self.bits} bits'
        given = without_delete(self.bits).items()
        shown = ', '.join(f'{key or "others"} {bits}' for key, bits in given)
        return f'shared values, bits: {shown}'


class SharingStage(TransformStage):
    """Codebooks instead of whatever transforms there are, and the training of the centroids.

    Args:
        bits: by layer.
        training: what follows.
        init: see `WeightSharing`.
        gradient: see `WeightSharing`.
    """

    def __init__(
        self, bits: Mapping[str, int], training: PhaseConfig, init: str, gradient: str
    ) -> None:
        super().__init__('weight sharing', list(bits), training)
        self.bits = dict(bits)
        self.init = init
        self.gradient = gradient

    def begin(self, detector: nn.Module, seed: int) -> dict[str, float]:
        """Fold what is there, and put codebooks on; see `TransformStage.begin`.

        Returns:
            ``values``: centroids of all layers together; ``error_conv``, ``error_fc``: the squared
            change of the weights over their squares, over all layers of the type.
        """
        squares: dict[str, list[float]] = {}
        values = 0
        for number, path in enumerate(self.layers):
            layer = detector.get_submodule(path)
            before = layer.weight.detach().clone()
            require_finite(path, before)
            book = self._fit(path, layer, derive(seed, 'sharing', number))
            _replace_transforms(layer, book)
            change = float((layer.weight.detach() - before).double().square().sum())
            total = squares.setdefault(layer_type(layer), [0.0, 0.0])
            total[0] += change
            total[1] += float(before.double().square().sum())
            values += len(book.centroids)
        errors = {f'error_{kind}': change / of for kind, (change, of) in squares.items()}
        return {'values': values, **errors}

    def _fit(self, path: str, layer: nn.Module, seed: int) -> Codebook:
        try:
            return Codebook.fit(layer.weight, self.bits[path], self.init, seed, self.gradient)
        except CompressionError as error:
            raise CompressionError(f'{path}: {error}') from error


def _replace_transforms(layer: nn.Module, book: Codebook) -> None:
    """Fold the transforms of a layer's weight, and read it from a codebook."""
    if transforms_of(layer):
        parametrize.remove_parametrizations(layer, 'weight', leave_parametrized=True)
    attach(layer, book)
    # Nothing reads it any more: several ranks would wait for a gradient of it.
    layer.parametrizations.weight.original.requires_grad_(False)


def _check_bits(key: str, value: Any) -> None:
    check_integer(key, value, least=1)
    if value > MAX_BITS:
        raise CompressionError(f'{key}={value!r} must be at most {MAX_BITS}')
