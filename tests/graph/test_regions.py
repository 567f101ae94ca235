"""Regions that are noted and given, on mmdet's own extractors."""

import torch
from mmcv.ops import roi_align
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import nn

from mmdet_lcp.graph.regions import given_rois, images_of, noted_rois


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.extractor = SingleRoIExtractor(
            dict(type='RoIAlign', output_size=2, sampling_ratio=1), 3, [1]
        )

    def forward(self, x, rois):
        return self.extractor([x], rois), self.extractor([x], rois=rois[:1])


def test_noted_and_given():
    heads, x = Heads(), torch.rand(2, 3, 8, 8)
    own = torch.tensor([[0, 1, 1, 5, 5], [1, 0, 0, 7, 7.0]])
    with noted_rois(heads) as noted:
        first = heads(x, own)
    assert [r.tolist() for r in noted] == [own.tolist(), own[:1].tolist()]
    others = [torch.tensor([[1, 2, 2, 6, 6.0]]), torch.tensor([[0, 0, 0, 3, 3.0]])]
    with given_rois(heads, others):
        found = heads(x, own)
    for pooled, rois in zip(found, others, strict=True):
        expected = roi_align(x, rois, (2, 2), 1.0, 1)
        torch.testing.assert_close(pooled, expected)
    with given_rois(heads, others[:1]):  # too few: the rest as it comes
        found = heads(x, own)
    torch.testing.assert_close(found[1], first[1])
    torch.testing.assert_close(heads(x, own), first)
    assert not heads.extractor._forward_pre_hooks


def test_whose_an_item_is():
    rois = torch.tensor([[1, 0, 0, 2, 2], [0, 0, 0, 2, 2.0]])
    assert images_of(2, 2, []).tolist() == [0, 1]
    assert images_of(2, 2, [rois]).tolist() == [1, 0]  # two regions, not the two images
    assert images_of(2, 2, [rois, rois.flip(0)]).tolist() == [0, 1]  # the last extraction
    assert images_of(4, 2, [rois]) is None
    assert images_of(4, 1, []).tolist() == [0] * 4
