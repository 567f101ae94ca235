"""Train mode in which norms, dropout and everything else stay as they are."""

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from mmcv.cnn.bricks.drop import DropPath
from mmdet.models.backbones import ResNet
from mmdet.models.layers import DropBlock
from mmengine.logging import MessageHub
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet_lcp.training_mode import in_training


class MovingMean(nn.Module):
    """A norm of somebody's own."""

    def __init__(self):
        super().__init__()
        self.register_buffer('running_mean', torch.zeros(3))

    def forward(self, x):
        mean = x.mean((0, 2, 3)) if self.training else self.running_mean
        self.running_mean = mean.detach()
        return x - mean[:, None, None]


class ShakeDrop(nn.Module):
    def forward(self, x):
        return x * torch.rand(()) if self.training else x


class Functional(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, self.training)


class Head(nn.Module):
    """Another output in training, and a counter of losses."""

    def __init__(self):
        super().__init__()
        self.register_buffer('seen', torch.zeros(()))
        self.history = []

    def forward(self, x):
        self.seen += 1
        self.history.append(float(self.seen))
        return x * 10 if self.training else x


HELD = {
    'batch norm': lambda: nn.BatchNorm2d(3),
    'sync batch norm': lambda: nn.SyncBatchNorm(3),
    'instance norm': lambda: nn.InstanceNorm2d(3, track_running_stats=True),
    'own norm': MovingMean,
    'dropout': lambda: nn.Dropout(0.5),
    'alpha dropout': lambda: nn.AlphaDropout(0.5),
    'channel dropout': lambda: nn.Dropout2d(0.5),
    'drop path': lambda: DropPath(0.5),
    'drop block': lambda: DropBlock(0.5, 3, warmup_iters=0),
    'shake': ShakeDrop,
    'rrelu': nn.RReLU,
    'function': Functional,
}


def model_of(middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 3, 1), middle, Head())


@pytest.fixture
def x():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 1


@pytest.mark.parametrize('kind', HELD)
@pytest.mark.parametrize('training', [False, True])
def test_what_is_held_gives_what_it_gives_in_eval_mode(kind, training, x):
    model = model_of(HELD[kind]())
    expected = 10 * model[:2].eval()(x)
    model.train(training)
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(2):
        with in_training(model):
            torch.testing.assert_close(model(x), expected, rtol=0, atol=0)
    assert [m.training for m in model] == [training, False, training]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[2].history == []


def test_attention_drops_nothing(x):
    attention = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)
    tokens = x[:, 0]
    expected, _ = attention.eval()(tokens, tokens, tokens)
    with in_training(attention):
        assert attention.training
        found, _ = attention(tokens, tokens, tokens)
    torch.testing.assert_close(found, expected)


def test_a_checkpointed_layer_in_the_backward_pass(x):
    """It runs again there: still with the running statistics."""
    model = model_of(nn.BatchNorm2d(3))
    x.requires_grad_(True)
    (expected,) = torch.autograd.grad(10 * model[:2].eval()(x).square().sum(), x)
    with in_training(model):
        middle = torch.utils.checkpoint.checkpoint(model[:2], x, use_reentrant=False)
        (found,) = torch.autograd.grad((10**0.5 * middle).square().sum(), x)
    torch.testing.assert_close(found, expected)
    assert model[1].num_batches_tracked == 0


def test_an_error_leaves_nothing_behind(x):
    model = model_of(nn.BatchNorm2d(3)).eval()
    with pytest.raises(ZeroDivisionError), in_training(model):
        model(x)
        raise ZeroDivisionError
    assert not any(module.training for module in model.modules())
    assert model[2].seen == 0 and model[2].history == []
    torch.manual_seed(0)
    assert (F.dropout(x, 0.5) == 0).any()


def test_frozen_parameters_stay_as_they_are():
    """`train` of mmdet's backbones freezes their first stages, whatever a criterion asks for."""
    backbone = ResNet(18, base_channels=8, frozen_stages=1, norm_eval=True)
    backbone.requires_grad_(True)
    backbone.layer4.requires_grad_(False)
    before = [p.requires_grad for p in backbone.parameters()]
    with in_training(backbone):
        assert [p.requires_grad for p in backbone.parameters()] == before
        norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
        assert norms and not any(norm.training for norm in norms)
        assert backbone.layer4.training and not backbone.layer1.training  # by its own `train`
    assert [p.requires_grad for p in backbone.parameters()] == before


def test_a_model_whose_train_returns_nothing_and_that_hides_its_teacher(x):
    class Distilled(nn.Sequential):
        def train(self, mode=True):
            super().train(mode)
            self.hidden.train(False)

    model = Distilled(nn.Conv2d(3, 3, 1), Head())
    object.__setattr__(model, 'hidden', model_of(nn.Dropout(0.5)).eval())
    with in_training(model):
        assert model[1].training and not model.hidden[2].training
        model.hidden(x)
        assert model.hidden[2].seen == 1
    assert model.hidden[2].seen == 0


@pytest.mark.parametrize('known', [None, 7])
def test_the_iteration_that_heads_ask_for(known):
    hub = MessageHub.get_instance(f'test_in_training_{known}')
    if known is not None:
        hub.update_info('iter', known)
    with in_training(nn.Linear(2, 2)):
        assert hub.get_info('iter') == (known or 0) and hub.get_info('epoch') == 0
    assert hub.get_info('iter') == known and hub.get_info('epoch') is None
