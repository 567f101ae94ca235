"""The transform r of mimic: from a small network's map to the shape of a large one's.

Li et al., "Mimicking Very Efficient Network for Object Detection" (CVPR 2017): a 3x3 convolution
matches the channels (section 3.1); for images of half the size a deconvolution in front of it
brings the map to twice its size (section 3.3). Its author says that linear resizing works too.
"""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import MODELS

KINDS = ('conv', 'deconv', 'resize', 'none')
KERNEL, STRIDE = 4, 2  # of the deconvolution


def check_kind(where: str, kind: str) -> None:
    """Raise a CompressionError for an unknown kind of transform."""
    if kind not in KINDS:
        raise CompressionError(f'{where}={kind!r} is unknown: use one of {KINDS}.')


@MODELS.register_module()
class FeatureTransform(BaseModule):
    """r: a map (N, in_channels, H, W) to (N, out_channels, H', W').

    Args:
        in_channels: of the small network's map.
        out_channels: of the large network's map.
        kind: ``'conv'``: a 3x3 convolution; ``'deconv'``: a 4x4 deconvolution that doubles the
            size, ReLU, then the convolution; ``'resize'``: bilinear to the size that is asked
            for, then the convolution; ``'none'``: the map as it is.
        init_cfg: mmengine's initialisation; by default Kaiming's for what each layer reads, so
            that the output has the input's mean square.

    Raises:
        CompressionError: an unknown kind, or ``'none'`` between different numbers of channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kind: str = 'conv',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        check_kind('transform', kind)
        if init_cfg is None:
            # Kaiming's for a ReLU behind. A pixel of the deconvolution reads (kernel / stride)^2
            # pixels; torch counts kernel^2, and its maps come out too weak.
            std = (2 / (in_channels * (KERNEL // STRIDE) ** 2)) ** 0.5
            init_cfg = [
                dict(type='Kaiming', layer='Conv2d', mode='fan_in', nonlinearity='linear'),
                dict(type='Normal', layer='ConvTranspose2d', std=std),
            ]
        super().__init__(init_cfg=init_cfg)
        self.kind = kind
        self.deconv: nn.Module | None = None
        self.conv: nn.Module | None = None
        if kind == 'none':
            if in_channels != out_channels:
                raise CompressionError(
                    f"transform='none' leaves {in_channels} channels, but {out_channels} are "
                    "needed: use 'conv'."
                )
            return
        if kind == 'deconv':
            self.deconv = nn.ConvTranspose2d(in_channels, in_channels, KERNEL, STRIDE, padding=1)
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """The transformed map.

        Args:
            x: (N, in_channels, H, W).
            size: (height, width) that ``'resize'`` brings it to (twice its own by default), and
                that ``'deconv'`` cuts it to if it is one cell larger, which rounding of odd
                sizes does.
        """
        x = self.before_conv(x, size)
        return x if self.conv is None else self.conv(x)

    def before_conv(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """What the convolution reads; arguments as for `forward`."""
        if self.kind == 'deconv':
            x = F.relu(self.deconv(x))
            return x if size is None else x[..., : size[0], : size[1]]
        if self.kind == 'resize':
            size = size or (2 * x.shape[-2], 2 * x.shape[-1])
            if tuple(x.shape[-2:]) != tuple(size):
                x = F.interpolate(x, size=size, mode='bilinear', align_corners=False)
        return x
