"""timm's names of MobileNet v1, pair by pair, and what becomes of a checkpoint's other weights.

That the weights land where timm's network computes the same, test_mobilenet_v1.py checks.
"""

import re

import pytest
import torch
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.models.mobilenet_v1 import MobileNetV1
from mmdet_lcp.models.mobilenet_v1_timm import rename_timm, timm_name


# timm's modules in the order in which they run, and where they are in MobileNetV1.
@pytest.mark.parametrize(
    ('theirs', 'ours'),
    [
        ('conv_stem.weight', 'stage1.0.conv.weight'),
        ('bn1.running_mean', 'stage1.0.bn.running_mean'),
        ('blocks.0.0.conv_dw.weight', 'stage1.1.depthwise_conv.conv.weight'),
        ('blocks.0.0.bn1.bias', 'stage1.1.depthwise_conv.bn.bias'),
        ('blocks.0.0.conv_pw.weight', 'stage1.1.pointwise_conv.conv.weight'),
        ('blocks.0.0.bn2.num_batches_tracked', 'stage1.1.pointwise_conv.bn.num_batches_tracked'),
        ('blocks.1.0.bn1.weight', 'stage2.0.depthwise_conv.bn.weight'),
        ('blocks.3.5.conv_pw.weight', 'stage4.5.pointwise_conv.conv.weight'),
        ('blocks.4.1.bn2.running_var', 'stage5.1.pointwise_conv.bn.running_var'),
        ('blocks.12.10.conv_dw.weight', 'stage13.10.depthwise_conv.conv.weight'),
    ],
)
def test_names(theirs, ours):
    assert timm_name(theirs) == ours


@pytest.mark.parametrize(
    'key',
    [
        'classifier.weight',
        'conv_head.weight',
        'blocks.0.0.conv.weight',
        'blocks.0.conv_dw.weight',
        'blocks.x.0.conv_dw.weight',
        'my.blocks.0.0.conv_dw.weight',
        'my_bn1.weight',
        'stage1.0.conv.weight',
    ],
)
def test_what_has_no_place_here(key):
    assert timm_name(key) is None


def timm_keys() -> list[str]:
    """Every weight of timm's network but the classifier's, by its layout: 1, 2, 2, 6, 2 blocks."""
    layers = ['conv_stem', 'bn1']
    for stage, blocks in enumerate((1, 2, 2, 6, 2)):
        for block in range(blocks):
            layers += [f'blocks.{stage}.{block}.{x}' for x in ('conv_dw', 'bn1', 'conv_pw', 'bn2')]
    norm = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    return [
        f'{layer}.{part}'
        for layer in layers
        for part in (norm if re.search(r'bn\d$', layer) else ('weight',))
    ]


def test_every_weight_has_one_name_and_no_two_the_same():
    names = [timm_name(key) for key in timm_keys()]
    assert len(names) == len(set(names))
    assert set(names) == set(MobileNetV1(0.25).state_dict())


class Narrow(nn.Module):
    """In the place of a backbone: two of its stages with one layer each."""

    stage_names = ('stage1', 'stage2')

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.ModuleList([nn.ModuleDict(dict(conv=nn.Conv2d(3, 4, 3, bias=False)))])
        inner = nn.ModuleDict(dict(conv=nn.Conv2d(4, 4, 1, bias=False)))
        self.stage2 = nn.ModuleList([nn.ModuleDict(dict(pointwise_conv=inner))])


STEM, POINTWISE = torch.rand(4, 3, 3, 3), torch.rand(4, 4, 1, 1)


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_a_checkpoint_is_renamed_in_place(prefix):
    """What has no place here is left out, but for blocks too many, which loading then tells."""
    state = {
        f'{prefix}conv_stem.weight': STEM,
        f'{prefix}blocks.1.0.conv_pw.weight': POINTWISE,
        f'{prefix}blocks.1.3.conv_pw.weight': POINTWISE,
        f'{prefix}blocks.2.0.conv_pw.weight': POINTWISE,  # of a stage that was not built
        f'{prefix}classifier.weight': torch.rand(10, 4),
    }
    if prefix:
        state['head.blocks.0.0.conv_dw.weight'] = STEM  # of another module
    rename_timm(Narrow(), state, prefix, {}, True)
    expected = {
        f'{prefix}stage1.0.conv.weight': STEM,
        f'{prefix}stage2.0.pointwise_conv.conv.weight': POINTWISE,
        f'{prefix}stage2.3.pointwise_conv.conv.weight': POINTWISE,
    }
    if prefix:
        expected['head.blocks.0.0.conv_dw.weight'] = STEM
    assert state.keys() == expected.keys()
    assert all(state[key] is value for key, value in expected.items())
    rename_timm(Narrow(), state, prefix)  # they are ours now
    assert state.keys() == expected.keys()


@pytest.mark.parametrize('first', ['stage1.0.conv.weight', 'neck.conv_stem.weight'])
def test_other_checkpoints_are_left_alone(first):
    """Ours, and one in which the names are another module's."""
    state = {f'backbone.{first}' if 'stage' in first else first: STEM, 'backbone.bn1.bias': STEM}
    before = dict(state)
    rename_timm(Narrow(), state, 'backbone.')
    assert state == before


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_weights_of_another_width_are_told(prefix):
    """With the checkpoint's own name of the first of them, and both shapes."""
    state = {
        f'{prefix}conv_stem.weight': STEM,
        f'{prefix}blocks.1.0.conv_pw.weight': torch.rand(8, 5, 1, 1),
    }
    with pytest.raises(CompressionError) as error:
        rename_timm(Narrow(), state, prefix)
    text = str(error.value)
    assert text.startswith(f'model.backbone.init_cfg: the {prefix}blocks.1.0.conv_pw.weight of')
    assert '(8, 5, 1, 1), MobileNetV1 here (4, 4, 1, 1)' in text
    assert 'model.backbone.width_mult' in text and '1.25 for mobilenetv1_125' in text
