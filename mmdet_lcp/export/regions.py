"""Parts of mmdet that a trace would keep with one image's numbers, written so that it may.

Each region is read from its own level of the pyramid: mmdet's extractor asks how many regions a
level has, and a trace would keep the answer. Here the regions of each level are picked, read, and
put back in order, however many they are.
"""

from types import MethodType

import torch
from mmcv.ops import deform_conv2d
from mmdet.models.dense_heads import TOODHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError


def make_traceable(root: nn.Module) -> None:
    """Give every RoI extractor and every TOOD head of a detector what a trace may keep.

    Raises:
        CompressionError: an extractor is of another class.
    """
    for path, module in root.named_modules():
        if isinstance(module, TOODHead):
            module.deform_sampling = _sample
        if not path.endswith('roi_extractor') and '.roi_extractor.' not in path:
            extractor = isinstance(module, SingleRoIExtractor)
        else:
            extractor = not isinstance(module, nn.ModuleList)
        if not extractor:
            continue
        if type(module).forward is not SingleRoIExtractor.forward:
            raise CompressionError(
                f'{path} ({type(module).__name__}) cannot be exported: regions of '
                'SingleRoIExtractor can'
            )
        module.forward = MethodType(_extract, module)


def levels_of(rois: Tensor, levels: int, finest: float) -> Tensor:
    """The level of each region, 0 the finest.

    mmdet's `map_roi_levels` with comparisons in place of its logarithm, of which runtimes differ
    in the last digit.
    """
    scale = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).sqrt() / finest + 1e-6
    return sum((scale >= 2.0**level).long() for level in range(1, levels))


def _sample(feat: Tensor, offset: Tensor) -> Tensor:
    """See `TOODHead.deform_sampling`: the number of channels is a number here."""
    channels = int(feat.shape[1])
    ones = torch.ones(channels, 1, 1, 1)
    return deform_conv2d(feat, offset, ones, 1, 0, 1, channels, channels)


def _extract(
    self: SingleRoIExtractor, feats: tuple, rois: Tensor, roi_scale_factor: float | None = None
) -> Tensor:
    """See `SingleRoIExtractor.forward`."""
    if len(feats) == 1:
        return self.roi_layers[0](feats[0], rois)
    level = levels_of(rois, len(feats), self.finest_scale)
    if roi_scale_factor is not None:
        rois = self.roi_rescale(rois, roi_scale_factor)
    found, order = [], []
    for number, (layer, feat) in enumerate(zip(self.roi_layers, feats, strict=False)):
        index = (level == number).nonzero()[:, 0]
        order.append(index)
        found.append(layer(feat, rois[index]))
    order = torch.cat(order)
    place = torch.zeros_like(order).scatter(0, order, torch.arange(order.shape[0]))
    return torch.cat(found)[place]
