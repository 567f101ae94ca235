"""ShuffleNet v1 against the paper's tables, and its shuffle against the definition."""

import pytest
import torch
from torch import nn

from mmdet_lcp.measure.cost import module_macs
from mmdet_lcp.models.shufflenet_v1 import STAGE2_CHANNELS, ChannelShuffle, ShuffleNetV1


def macs_with_classifier(backbone: ShuffleNetV1) -> int:
    macs = sum(module_macs(backbone.eval(), (224, 224)).values())
    return macs + backbone.stage_channels[-1] * 1000


# Complexity in millions of multiply-adds, table 1.
@pytest.mark.parametrize(('groups', 'macs'), [(1, 143), (2, 140), (3, 137), (4, 133), (8, 137)])
def test_cost_is_the_papers(groups, macs):
    backbone = ShuffleNetV1(groups, out_stages=(4,))
    assert macs_with_classifier(backbone) / 1e6 == pytest.approx(macs, rel=0.02)


# "ShuffleNet s x", tables 2 and 5 to 8.
# The paper's 292 of 1.5 x is 2.6 % less than widths of exactly 1.5 times come to.
@pytest.mark.parametrize(
    ('groups', 'scale', 'macs', 'within'),
    [(3, 2.0, 524, 0.02), (3, 1.5, 292, 0.03), (3, 0.5, 38, 0.02)],
)
def test_scaled_cost_is_the_papers(groups, scale, macs, within):
    backbone = ShuffleNetV1(groups, scale, out_stages=(4,))
    assert macs_with_classifier(backbone) / 1e6 == pytest.approx(macs, rel=within)


@pytest.mark.parametrize('groups', [1, 2, 3, 4, 8])
@pytest.mark.parametrize('scale', [0.25, 0.5, 1.5])
def test_every_scale_and_number_of_groups_can_be_built(groups, scale):
    maps = ShuffleNetV1(groups, scale)(torch.zeros(1, 3, 64, 64))
    assert [m.shape[2] for m in maps] == [4, 2]


@pytest.mark.parametrize('groups', [1, 2, 3, 4, 8])
def test_widths_units_and_groups_are_those_of_table_1(groups):
    backbone = ShuffleNetV1(groups, out_stages=(2, 3, 4))
    width = STAGE2_CHANNELS[groups]
    assert backbone.stage_channels == (24, width, 2 * width, 4 * width)
    assert [len(getattr(backbone, f'stage{s}')) for s in (2, 3, 4)] == [4, 8, 4]
    compress = [m.compress.conv.groups for s in (2, 3) for m in getattr(backbone, f'stage{s}')]
    assert compress == [1] + [groups] * 11
    assert backbone.stage2[0].expand.conv.out_channels == width - 24
    maps = backbone(torch.zeros(1, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (width, 8, 8),
        (2 * width, 4, 4),
        (4 * width, 2, 2),
    ]


@pytest.mark.parametrize('groups', [1, 2, 3])
def test_shuffle_is_the_definition(groups):
    """Reshape to (g, n), transpose, flatten (section 3.1), channel by channel."""
    each = 4
    x = torch.arange(groups * each).view(1, -1, 1, 1).float().expand(2, -1, 3, 5)
    out = ChannelShuffle(groups)(x)
    for i in range(groups):
        for j in range(each):
            assert (out[:, j * groups + i] == i * each + j).all()
    assert torch.equal(out, nn.ChannelShuffle(groups)(x))


def test_every_group_reads_every_group():
    """With three groups of four, each group of four after the shuffle holds all groups."""
    order = ChannelShuffle(3)(torch.arange(12.0).view(1, 12, 1, 1)).flatten().long() // 4
    assert all(set(part.tolist()) == {0, 1, 2} for part in order.split(4))


def test_a_unit_of_stride_two_puts_the_pooled_input_first():
    backbone = ShuffleNetV1(2, out_stages=(2,)).eval()
    unit = backbone.stage2[0]
    x = torch.randn(1, 24, 8, 8)
    out = unit(x)
    expected = torch.nn.functional.avg_pool2d(x, 3, 2, 1).relu()
    assert torch.allclose(out[:, :24], expected)


@pytest.mark.parametrize(
    'keys',
    [
        dict(groups=5),
        dict(width_mult=-1),
        dict(out_stages=(5,)),
        dict(in_channels=0),
        dict(width_mult=0.05, groups=8),
    ],
)
def test_bad_arguments(keys):
    with pytest.raises(ValueError, match=next(iter(keys))):
        ShuffleNetV1(**keys)
