"""Regions by level against mmdet's extractor."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.export.regions import levels_of, make_traceable

register_all_modules()
KEYS = dict(
    type='SingleRoIExtractor',
    roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=0),
    out_channels=4,
    featmap_strides=[4, 8, 16],
)


def rois() -> torch.Tensor:
    """Of all levels and both images; among them sides of exactly a boundary, and empty ones."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 2, generator=generator) * 50
    sides = 2 ** (torch.rand(60, 2, generator=generator) * 9)
    exact = torch.tensor([[0.0, 0, 0, 112, 112], [1, 0, 0, 224, 224], [0, 3, 3, 3, 3]])
    image = (torch.arange(60) % 2).float()[:, None]
    return torch.cat([torch.cat([image, corners, corners + sides], 1), exact])


class Detector(nn.Module):
    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.bbox_roi_extractor = extractor


def test_the_same_features():
    extractor = MODELS.build(KEYS)
    levels = extractor.map_roi_levels(rois(), 3)
    assert torch.equal(levels_of(rois(), 3, extractor.finest_scale), levels)
    assert sorted(set(levels.tolist())) == [0, 1, 2]
    maps = [torch.randn(2, 4, 64 // s, 64 // s) for s in (1, 2, 4)]
    expected = extractor(maps, rois())
    own = copy.deepcopy(extractor)
    make_traceable(Detector(own))
    assert torch.equal(own(maps, rois()), expected)
    only_large = rois()[levels == 2]
    assert torch.equal(own(maps, only_large), extractor(maps, only_large))


def test_another_extractor():
    extractor = MODELS.build(dict(KEYS, type='GenericRoIExtractor'))
    message = r'bbox_roi_extractor \(GenericRoIExtractor\).*SingleRoIExtractor can'
    with pytest.raises(CompressionError, match=message):
        make_traceable(Detector(extractor))
