"""What cuts regions out of maps leaves their channels alone."""

import torch
from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import nn
from toys import Toy, by_name, paths


def rois(x):
    return x.new_tensor([[0, 0, 0, 4, 4], [0, 2, 2, 6, 6]])


def test_pooling():
    model = Toy(
        lambda m, x: m.out(m.pool(m.a(x), rois(x))),
        a=nn.Conv2d(3, 8, 1), pool=RoIAlign(2, sampling_ratio=2), out=nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    group = by_name(model)['a']
    assert (group.obstacle, group.channels, group.norms) == (None, 8, ())
    assert paths(group.consumers) == ['out']


def test_another_class_of_that_name_only():
    """A subclass may do anything."""

    class Mine(RoIAlign):
        pass

    model = Toy(
        lambda m, x: m.out(m.pool(m.a(x), rois(x))),
        a=nn.Conv2d(3, 8, 1), pool=Mine(2, sampling_ratio=2), out=nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    assert by_name(model)['a'].obstacle is not None


def test_an_extractor_counts_its_channels():
    layer = dict(type='RoIAlign', output_size=2, sampling_ratio=2)
    model = Toy(
        lambda m, x: m.out(m.pool([m.a(x)], rois(x))),
        a=nn.Conv2d(3, 8, 1), pool=SingleRoIExtractor(layer, 8, [2]), out=nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    group = by_name(model)['a']
    assert (group.obstacle, paths(group.norms)) == (None, ['pool'])
    assert torch.equal(torch.tensor(group.norms[0].index), torch.arange(8))
