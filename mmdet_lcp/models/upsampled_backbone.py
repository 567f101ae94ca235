"""A backbone for images of half the size, whose maps are brought back to the size of the whole.

Li et al., "Mimicking Very Efficient Network for Object Detection" (CVPR 2017), section 3.3: the
network runs on an image of half the width and height, about four times as fast, and a
deconvolution with a 3x3 convolution, the transform of mimic, brings its map to the large
network's size. The heads read that map, so the transform stays in the deployed detector.
"""

from collections.abc import Sequence

from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.model import BaseModule, ModuleList
from torch import Tensor

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.models.feature_transform import FeatureTransform
from mmdet_lcp.registry import MODELS

UPSAMPLING = ('deconv', 'resize')


@MODELS.register_module()
class UpsampledBackbone(BaseModule):
    """A backbone of mmdet's, each of its maps brought to twice its size.

    The maps of an image of half the size then have the grid of the whole image's; in pixels of
    the small image their stride is half as large, and so are the default boxes that go with it.

    Args:
        backbone: config of the backbone that runs on the small image.
        in_channels: channels of its maps.
        out_channels: channels that its maps get, those of the large network; `in_channels`
            unless told.
        transform: ``'deconv'``, the paper's best form, or ``'resize'``, bilinear; a 3x3
            convolution follows either.
        init_cfg: mmengine's initialisation of what is added.

    Raises:
        CompressionError: an argument is out of its range, or `in_channels` is not what the
            backbone gives.

    Shape:
        input ``(N, 3, H, W)``; output a tuple of maps ``(N, out_channels[i], 2 h_i, 2 w_i)``
        where the backbone gives ``(N, in_channels[i], h_i, w_i)``.
    """

    def __init__(
        self,
        backbone: dict,
        in_channels: Sequence[int],
        out_channels: Sequence[int] | None = None,
        transform: str = 'deconv',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if transform not in UPSAMPLING:
            raise CompressionError(
                f'model.backbone.transform={transform!r} is unknown: use one of {UPSAMPLING}.'
            )
        out_channels = in_channels if out_channels is None else out_channels
        if len(out_channels) != len(in_channels):
            raise CompressionError(
                f'model.backbone: in_channels={tuple(in_channels)} and '
                f'out_channels={tuple(out_channels)} must name as many maps'
            )
        self.backbone = MMDET_MODELS.build(backbone)
        self.transforms = ModuleList(
            FeatureTransform(before, after, transform)
            for before, after in zip(in_channels, out_channels, strict=True)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps, twice as large; see the class for the shapes."""
        maps = self.backbone(x)
        given = tuple(level.size(1) for level in maps)
        wanted = tuple(r.conv.in_channels for r in self.transforms)
        if given != wanted:
            raise CompressionError(
                f'model.backbone.in_channels={wanted}, but {type(self.backbone).__name__} gives '
                f'maps of {given} channels'
            )
        return tuple(r(level) for r, level in zip(self.transforms, maps, strict=True))
