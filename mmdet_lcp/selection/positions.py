"""Where on a feature map a reconstruction looks: everywhere, or more at the objects.

LCP (Xie et al., arXiv 1911.02237) keeps the information of the boxes and of what surrounds
them through an auxiliary network. Here the same regions enter the least squares directly, as
weights of the positions (ours, not the paper's).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdet_lcp.config.checks import check_integer, check_not_negative, check_positive
from mmdet_lcp.errors import CompressionError

KEY = 'pruning.selection.positions'


@dataclass
class Positions:
    """The share that each position of a consumer's output has in the second moments.

    An image's weights add up to 1: `objects` of it lies on the objects, each object with the
    same part, spread evenly over the positions inside its box enlarged by `context`;
    `saliency` of it follows the squared gradient of the original detector's own loss; the rest
    lies evenly everywhere.

    Attributes:
        per_image: positions drawn from a map that has more, by their weights, >= 1.
        objects: share of the objects, in [0, 1].
        context: side of the region around an object over the side of its box, > 0.
        saliency: share of the detector's gradient, in [0, 1]; needs one backward pass of the
            original detector over the selection images.
    """

    per_image: int = 400
    objects: float = 0.7
    context: float = 1.25
    saliency: float = 0.0

    def __post_init__(self) -> None:
        check_integer(f'{KEY}.per_image', self.per_image, least=1)
        check_positive(f'{KEY}.context', self.context)
        for key in ('objects', 'saliency'):
            check_not_negative(f'{KEY}.{key}', getattr(self, key))
        if self.objects + self.saliency > 1:
            raise CompressionError(
                f'{KEY}: objects={self.objects} and saliency={self.saliency} are shares of one '
                'whole, they must add up to 1 at most'
            )

    def weights(
        self,
        size: tuple[int, int],
        boxes: Sequence[Tensor],
        img_shape: tuple[int, int],
        saliency: Tensor | None = None,
    ) -> Tensor:
        """Weight of every position of a map.

        Args:
            size: (height, width) of the map.
            boxes: of each image, (G, 4) as (x1, y1, x2, y2) in pixels of the batch image.
            img_shape: (height, width) of the batch image in pixels.
            saliency: squared gradients (N, height * width), with `saliency` above 0.

        Returns:
            (N, height * width), float64, each row with the sum 1.
        """
        even = torch.full((len(boxes), size[0] * size[1]), 1.0 / (size[0] * size[1]))
        even = even.double()
        weights = torch.zeros_like(even)
        rest = torch.ones(len(boxes), 1, dtype=torch.float64)
        if self.objects:
            for number, own in enumerate(boxes):
                if len(own):
                    inside = inside_boxes(size, own.double().cpu(), img_shape, self.context)
                    weights[number] += self.objects * inside.mean(0)
                    rest[number] -= self.objects
        if self.saliency and saliency is not None:
            squares = saliency.double().cpu()
            total = squares.sum(1, keepdim=True)
            seen = total > 0
            weights += torch.where(seen, self.saliency * squares / total.clamp(min=1e-300), 0.0)
            rest -= self.saliency * seen
        return weights + rest.clamp(min=0) * even


def inside_boxes(
    size: tuple[int, int], boxes: Tensor, img_shape: tuple[int, int], context: float
) -> Tensor:
    """Even shares of each box's positions: (G, height * width), each row with the sum 1.

    A box that contains no position's centre takes the nearest one.

    Args:
        size: (height, width) of the map.
        boxes: (G, 4) as (x1, y1, x2, y2) in pixels of the batch image.
        img_shape: (height, width) of the batch image in pixels.
        context: factor by which a box is enlarged about its centre.
    """
    height, width = size
    y = (torch.arange(height, dtype=boxes.dtype) + 0.5) * (img_shape[0] / height)
    x = (torch.arange(width, dtype=boxes.dtype) + 0.5) * (img_shape[1] / width)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * context
    dx = (x[None] - centre[:, :1]).abs()
    dy = (y[None] - centre[:, 1:]).abs()
    near_x = (dx <= half[:, :1]) | (dx == dx.min(1, keepdim=True).values)
    near_y = (dy <= half[:, 1:]) | (dy == dy.min(1, keepdim=True).values)
    inside = (near_y[:, :, None] & near_x[:, None, :]).flatten(1).to(boxes.dtype)
    return inside / inside.sum(1, keepdim=True)
