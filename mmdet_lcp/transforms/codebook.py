"""Shared weights: each connection reads one of a layer's few centroids, which are trained.

Deep Compression (Han et al., ICLR 2016), section 3: ∂L/∂C_k is the sum of ∂L/∂W_ij over all
connections that share C_k (section 3.3). Connections that are zero when the sharing begins stay
zero and belong to no centroid. Clusters that k-means leaves empty begin again elsewhere, so that
a layer has all of its 2^b values.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import TRANSFORMS
from mmdet_lcp.transforms.base import Transform
from mmdet_lcp.transforms.kmeans import INITS, Init, kmeans
from mmdet_lcp.transforms.member_sums import (
    MemberMeans,
    MemberSums,
    ReadShared,
    member_sums,
)

MAX_BITS = 8
Gradient = Literal['sum', 'mean']
GRADIENTS = ('sum', 'mean')


@TRANSFORMS.register_module()
class Codebook(Transform):
    """The parametrization: reads centroid number `index` at each place, and zero where it is 0.

    Args:
        centroids: (k,), k in [1, 255]; trained.
        index: of the weights' shape; 0 for a connection that is gone, else the centroid's number
            plus 1.
        gradient: of a centroid: ``'sum'`` over its members, which is the true one; or ``'mean'``,
            a step along which takes it as far as its members would go on average.
    """

    index: Tensor

    def __init__(self, centroids: Tensor, index: Tensor, gradient: Gradient = 'sum') -> None:
        super().__init__()
        self.gradient = gradient
        self.centroids = nn.Parameter(centroids.detach().clone())
        self.register_buffer('index', index.to(torch.uint8))
        self._sums: tuple[Any, MemberSums] | None = None

    @classmethod
    def fit(
        cls,
        weight: Tensor,
        bits: int,
        init: Init = 'linear',
        seed: int = 0,
        gradient: Gradient = 'sum',
    ) -> 'Codebook':
        """Share the weights of a layer.

        Args:
            weight: any shape; exact zeros are connections that are gone.
            bits: b, in [1, 8]: 2^b values, the zero among them if there is one.
            init: see `kmeans.initial_centroids`.
            seed: of a random beginning.
            gradient: see the class.

        Raises:
            CompressionError: a value is out of range, or no weight is left.
        """
        if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= MAX_BITS:
            raise CompressionError(f'bits={bits!r} must be a whole number from 1 to {MAX_BITS}')
        if init not in INITS:
            raise CompressionError(f'init={init!r}: use one of {", ".join(INITS)}')
        stays = weight.detach() != 0
        if not stays.any():
            raise CompressionError('every weight of the layer is zero: nothing is left to share')
        count = max(1, 2**bits - (0 if bool(stays.all()) and bits < MAX_BITS else 1))
        centroids, number = kmeans(weight.detach()[stays], count, init, seed=seed, refill=True)
        index = torch.zeros(weight.shape, dtype=torch.uint8, device=weight.device)
        index[stays] = (number + 1).to(torch.uint8)
        return cls(centroids, index, gradient)

    def forward(self, weight: Tensor) -> Tensor:
        """The shared weights; what is behind them does not count any more."""
        sums = self._member_sums() if self.centroids.requires_grad else None
        return ReadShared.apply(self.centroids, self.index, sums).to(weight.dtype)

    def _member_sums(self) -> MemberSums:
        """Made again when the index has been loaded, copied or moved."""
        index = self.index
        key = (index.data_ptr(), index._version, index.device)
        if self._sums is None or self._sums[0] != key:
            sums = member_sums(index, len(self.centroids))
            self._sums = key, MemberMeans(sums, index) if self.gradient == 'mean' else sums
        return self._sums[1]

    def settings(self) -> dict[str, Any]:
        """See `Transform.settings`."""
        return {'count': len(self.centroids), 'gradient': self.gradient}

    @classmethod
    def from_spec(cls, spec: dict[str, Any], shape: Sequence[int]) -> 'Codebook':
        """See `Transform.from_spec`."""
        index = torch.zeros(tuple(shape), dtype=torch.uint8)
        return cls(torch.zeros(spec['count']), index, spec['gradient'])
