"""Second moments of a consumer's inputs and original outputs: all that least squares needs.

L_re of LCP (Xie et al., arXiv 1911.02237) is quadratic in the kernels. One pass that adds up
H = X'X and B = X'F therefore says what every choice of channels, and every kernel, would cost.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from mmengine import dist
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError

TILE = 512  # columns; products of two tiles stay in a processor's cache


@dataclass
class Moments:
    """Weighted sums over rows, float64.

    A row x is what lies under the kernel at one position (in_channels * kernel height * width
    numbers), y the original output there (out numbers).

    Attributes:
        weight: sum of the rows' weights.
        x: (n,).
        y: (out,).
        xx: (n, n).
        xy: (n, out).
        yy: (out,), squares.
    """

    weight: Tensor
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor

    @property
    def finite(self) -> bool:
        """Whether all sums are numbers: a single nan or inf shows in the squares."""
        squares = self.xx.diagonal()  # no product of two inputs is larger than both squares
        return all(bool(part.isfinite().all()) for part in (squares, self.xy, self.yy))

    @classmethod
    def zeros(cls, n: int, out: int, device: torch.device) -> 'Moments':
        """Nothing seen yet."""

        def make(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        return cls(make(), make(n), make(out), make(n, n), make(n, out), make(out))

    def with_outputs(self, out: int) -> 'Moments':
        """Those of the same rows with other outputs, of which nothing is seen yet.

        They have ``weight``, ``x`` and ``xx`` in common from now on.
        """
        y, xy = self.y.new_zeros(out), self.y.new_zeros((len(self.x), out))
        return Moments(self.weight, self.x, y, self.xx, xy, torch.zeros_like(y))

    def apart(self) -> 'Moments':
        """With a ``weight``, ``x`` and ``xx`` of its own."""
        own = (getattr(self, name).clone() for name in ('weight', 'x', 'xx'))
        weight, x, xx = own
        return Moments(weight, x, self.y, xx, self.xy, self.yy)

    def add(self, x: Tensor, y: Tensor, weights: Tensor) -> None:
        """Add rows x (R, n), y (R, out) with weights (R,).

        Products are taken in the rows' own precision and added up in float64.
        """
        self.add_inputs(x, weights)
        self.add_outputs(x, y, weights)
        self.complete()

    def add_inputs(self, x: Tensor, weights: Tensor) -> None:
        """The part of `add` that the outputs have no part in; half of ``xx`` alone."""
        self.weight += weights.sum()
        weights = weights.to(x.dtype).unsqueeze(1)
        self.x += (x * weights).sum(0, dtype=torch.float64)
        self._add_squares(x * weights.sqrt())

    def add_outputs(self, x: Tensor, y: Tensor, weights: Tensor) -> None:
        """The rest of `add`."""
        scaled = y * weights.to(y.dtype).unsqueeze(1)
        self.y += scaled.sum(0, dtype=torch.float64)
        self.xy += x.T @ scaled
        self.yy += (scaled.double() * y).sum(0)

    def _add_squares(self, rows: Tensor) -> None:
        """Add X'X to the tiles up to the diagonal, without a second matrix of its size."""
        starts = range(0, rows.shape[1], TILE)
        for i in starts:
            for j in range(0, i + 1, TILE):
                tile = rows[:, i : i + TILE].T @ rows[:, j : j + TILE]
                self.xx[i : i + TILE, j : j + TILE] += tile

    def complete(self) -> None:
        """Fill in the tiles of ``xx`` above the diagonal, which `add_inputs` has left out."""
        for i in range(TILE, len(self.xx), TILE):
            self.xx[:i, i : i + TILE] = self.xx[i : i + TILE, :i].T

    def rows(self, rows: Tensor) -> 'Moments':
        """Those of some inputs alone."""
        xx = self.xx[rows[:, None], rows]
        return Moments(self.weight, self.x[rows], self.y, xx, self.xy[rows], self.yy)

    def beside(self, other: 'Moments') -> 'Moments':
        """Those of the same rows with the outputs of both."""
        both = (torch.cat([getattr(self, f), getattr(other, f)], -1) for f in ('y', 'xy', 'yy'))
        y, xy, yy = both
        return Moments(self.weight, self.x, y, self.xx, xy, yy)

    def mixed(self, mixing: Tensor) -> 'Moments':
        """Those of the same rows with mixtures of the outputs, (out, mixtures).

        Squares are those of outputs that do not correlate.
        """
        y, xy, yy = self.y @ mixing, self.xy @ mixing, self.yy @ mixing.square()
        return Moments(self.weight, self.x, y, self.xx, xy, yy)

    def all_reduce(self, inputs: bool = True) -> None:
        """Add up over all ranks, in place; those of the inputs alone unless they have been."""
        for field in fields(self):
            if inputs or field.name not in ('weight', 'x', 'xx'):
                dist.all_reduce(getattr(self, field.name))

    def __add__(self, other: 'Moments') -> 'Moments':
        """The moments of both sets of rows."""
        return Moments(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def patches(module: nn.Conv2d, inputs: Tensor, chosen: Tensor) -> Tensor:
    """Rows under the kernel at chosen output positions of each image.

    Args:
        module: an ungrouped convolution.
        inputs: (N, C, H, W).
        chosen: (N, P) indices into the flattened output map.

    Returns:
        (N, P, C * kernel height * kernel width), columns as in the flattened kernel.

    Raises:
        CompressionError: the convolution pads otherwise than with zeros.
    """
    if module.padding_mode != 'zeros' or isinstance(module.padding, str):
        raise CompressionError(
            f'least squares knows convolutions with zero padding, not {module}: leave its group '
            'out of pruning.layers, or use another update and criterion'
        )
    (kh, kw), (sh, sw), (dh, dw) = module.kernel_size, module.stride, module.dilation
    ph, pw = module.padding
    padded = F.pad(inputs, (pw, pw, ph, ph))
    width = (padded.shape[3] - dw * (kw - 1) - 1) // sw + 1
    top, left = (chosen // width) * sh, (chosen % width) * sw
    dy = torch.arange(kh, device=inputs.device) * dh
    dx = torch.arange(kw, device=inputs.device) * dw
    y = (top[:, :, None] + dy).unsqueeze(-1)  # N, P, kh, 1
    x = (left[:, :, None] + dx).unsqueeze(-2)  # N, P, 1, kw
    image = torch.arange(len(inputs), device=inputs.device).view(-1, 1, 1, 1)
    rows = padded.permute(0, 2, 3, 1)[image, y, x]  # N, P, kh, kw, C
    return rows.permute(0, 1, 4, 2, 3).flatten(2)
