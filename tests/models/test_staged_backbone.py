"""Taps, frozen stages and norms kept in eval, on stages that count."""

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet_lcp.models.staged_backbone import StagedBackbone


class Times(nn.Module):
    """Multiplies by a number, which is trained."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        return x * self.factor


class Counting(StagedBackbone):
    """Stage s multiplies by s: what comes out of it is s! times the image."""

    def __init__(self, out_stages=(4,), **keys) -> None:
        super().__init__(5, out_stages, **keys)
        for number, name in enumerate(self.stage_names, 1):
            self.add_module(name, Times(float(number)))
        self.freeze()


class Normed(StagedBackbone):
    """Three stages of a convolution, a batch norm and dropout."""

    def __init__(self, out_stages=(3,), width=2, **keys) -> None:
        super().__init__(3, out_stages, **keys)
        for name in self.stage_names:
            inputs = 3 if name == 'stage1' else width
            stage = [nn.Conv2d(inputs, width, 3), nn.BatchNorm2d(width), nn.Dropout(0.1)]
            self.add_module(name, nn.Sequential(*stage))
        self.freeze()


@pytest.mark.parametrize(
    ('out_stages', 'factors'),
    [((4,), [24]), ((1, 3), [1, 6]), ([2, 5], [2, 120]), ((1, 2, 3, 4, 5), [1, 2, 6, 24, 120])],
)
def test_outputs_of_the_named_stages(out_stages, factors):
    backbone = Counting(out_stages)
    image = torch.tensor([[0.5, -1.0]])
    found = backbone(image)
    assert isinstance(found, tuple) and len(found) == len(factors)
    for output, factor in zip(found, factors, strict=True):
        assert torch.equal(output, image * factor)
    # nothing behind the last one is built
    assert [name for name, _ in backbone.named_children()] == [
        f'stage{n}' for n in range(1, out_stages[-1] + 1)
    ]


@pytest.mark.parametrize('frozen', [0, 1, 2, 4])
def test_frozen_stages_are_not_trained(frozen):
    """The slope of 24 x for the factor of stage s is 24 x / s."""
    backbone = Counting(frozen_stages=frozen).train()
    backbone(torch.tensor(2.0, requires_grad=True))[0].backward()
    slopes = [getattr(backbone, f'stage{n}').factor.grad for n in range(1, 5)]
    expected = [None if n <= frozen else 48 / n for n in range(1, 5)]
    assert [None if slope is None else float(slope) for slope in slopes] == expected
    assert [getattr(backbone, f'stage{n}').training for n in range(1, 5)] == [
        n > frozen for n in range(1, 5)
    ]


def test_training_on_freezes_again():
    """Whatever has set a stage free in the meantime; what comes behind it stays free."""
    backbone = Counting(frozen_stages=2)
    backbone.requires_grad_(True)
    assert backbone.train() is backbone and backbone.training
    assert [p.requires_grad for p in backbone.parameters()] == [False, False, True, True]
    assert backbone.eval() is backbone
    assert not any(module.training for module in backbone.modules())


@pytest.mark.parametrize('norm_eval', [False, True])
@pytest.mark.parametrize('frozen', [0, 1])
def test_which_running_statistics_move(frozen, norm_eval):
    """Those of free stages, unless told otherwise; dropout goes on in any case."""
    torch.manual_seed(0)
    backbone = Normed(frozen_stages=frozen, norm_eval=norm_eval).train()
    norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
    backbone(torch.randn(2, 3, 9, 9))
    moved = [bool((norm.running_mean != 0).any()) for norm in norms]
    assert moved == [not norm_eval and number > frozen for number in (1, 2, 3)]
    assert [m.training for m in backbone.modules() if isinstance(m, nn.Dropout)] == [
        number > frozen for number in (1, 2, 3)
    ]
    assert all(norm.weight.requires_grad for norm in norms[frozen:])  # its scale is trained


def test_initialisation_by_default():
    """Kaiming: a variance of 2 / (outputs * 9), so that gradients keep theirs behind a ReLU."""
    torch.manual_seed(0)
    backbone = Normed(width=64)
    backbone.init_weights()
    for conv in (backbone.stage2[0], backbone.stage3[0]):
        assert float(conv.weight.std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
        assert abs(float(conv.weight.mean())) < 0.002 and (conv.bias == 0).all()
    assert (backbone.stage1[1].weight == 1).all() and (backbone.stage1[1].bias == 0).all()
    # 3 inputs, 64 outputs: it is the outputs that count
    assert float(backbone.stage1[0].weight.std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)


def test_initialisation_by_the_config():
    backbone = Normed(init_cfg=dict(type='Constant', layer='BatchNorm2d', val=3, bias=4))
    before = backbone.stage1[0].weight.clone()
    backbone.init_weights()
    assert (backbone.stage1[1].weight == 3).all() and (backbone.stage1[1].bias == 4).all()
    assert torch.equal(backbone.stage1[0].weight, before)


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (dict(out_stages=()), r'out_stages must name stages in 1\.\.5, got \(\)'),
        (dict(out_stages=(0, 2)), r'out_stages must name stages in 1\.\.5, got \(0, 2\)'),
        (dict(out_stages=(2, 6)), r'in 1\.\.5, got \(2, 6\)'),
        (dict(out_stages=(3, 2)), r'out_stages must rise, got \(3, 2\)'),
        (dict(out_stages=(2, 2)), r'out_stages must rise, got \(2, 2\)'),
        (dict(frozen_stages=-1), r'frozen_stages must be in 0\.\.4, got -1'),
        (dict(frozen_stages=5), r'frozen_stages must be in 0\.\.4, got 5'),
        (dict(out_stages=(1, 2), frozen_stages=3), r'frozen_stages must be in 0\.\.2, got 3'),
    ],
)
def test_arguments_out_of_range(keys, message):
    with pytest.raises(ValueError, match=message):
        Counting(**keys)
