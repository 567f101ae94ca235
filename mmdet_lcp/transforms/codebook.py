"""Shared weights: each connection reads one of a layer's few centroids, which are trained.

Deep Compression (Han et al., ICLR 2016), section 3: ∂L/∂C_k is the sum of ∂L/∂W_ij over all
connections that share C_k (section 3.3). Connections that are zero when the sharing begins stay
zero and belong to no centroid.
"""

import torch
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import TRANSFORMS
from mmdet_lcp.transforms.kmeans import INITS, Init, kmeans

MAX_BITS = 8


@TRANSFORMS.register_module()
class Codebook(nn.Module):
    """The parametrization: reads centroid number `index` at each place, and zero where it is 0.

    Args:
        centroids: (k,), k in [1, 255]; trained.
        index: of the weights' shape; 0 for a connection that is gone, else the centroid's number
            plus 1.
    """

    index: Tensor

    def __init__(self, centroids: Tensor, index: Tensor) -> None:
        super().__init__()
        self.centroids = nn.Parameter(centroids.detach().clone())
        self.register_buffer('index', index.to(torch.uint8))

    @classmethod
    def fit(cls, weight: Tensor, bits: int, init: Init = 'linear', seed: int = 0) -> 'Codebook':
        """Share the weights of a layer.

        Args:
            weight: any shape; exact zeros are connections that are gone.
            bits: b, in [1, 8]: 2^b values, the zero among them if there is one.
            init: see `kmeans.initial_centroids`.
            seed: of a random beginning.

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
        centroids, number = kmeans(weight.detach()[stays], count, init, seed=seed)
        index = torch.zeros(weight.shape, dtype=torch.uint8, device=weight.device)
        index[stays] = (number + 1).to(torch.uint8)
        return cls(centroids, index)

    def forward(self, weight: Tensor) -> Tensor:
        """The shared weights; what is behind them does not count any more."""
        table = torch.cat([self.centroids.new_zeros(1), self.centroids])
        return table[self.index.long()].to(weight.dtype)
