"""Losses and weights of nan or inf end a training, with the layer's name."""

import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from mmdet_lcp.engine.finite_loss import FiniteLossHook, cause, check_weights
from mmdet_lcp.errors import CompressionError


class Line(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)  # a batch of nan breaks its running statistics too
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 1)
        self.second.weight.data.fill_(1)
        self.factor = 1.0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.norm(torch.stack(inputs))
        y = self.second(torch.log(self.first(x)))
        return dict(loss_a=y.mean() * self.factor, loss_b=x.mean(), accuracy=x.mean() * math.nan)


def line(bias: float) -> Line:
    model = Line()
    model.first.weight.data.fill_(0)
    model.first.bias.data.fill_(bias)
    return model


def batch(value: float = 1.0) -> dict:
    samples = [SimpleNamespace(img_path=f'{name}.jpg') for name in 'ab']
    return dict(inputs=[torch.full((2,), value)] * 2, data_samples=samples)


def step(model: Line, data: dict) -> None:
    """One step of training, as mmengine's loop makes it."""
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper, iter=6)
    hook = FiniteLossHook()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0, data)
    model.train_step(data, wrapper)


def weights(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).clone()


def test_a_sound_step_is_the_optimizers(monkeypatch):
    models = [line(1.0), line(1.0)]
    models[1].load_state_dict(models[0].state_dict())
    step(models[0], batch())
    plain = OptimWrapper(torch.optim.SGD(models[1].parameters(), lr=0.1))
    models[1].train_step(batch(), plain)
    assert torch.equal(weights(models[0]), weights(models[1]))


@pytest.mark.parametrize(
    ('bias', 'value', 'words'),
    [
        (0.0, 1.0, 'nan or inf first in what second puts out (loss_a)'),
        (1.0, math.nan, 'nan or inf in the images themselves'),
        (math.nan, 1.0, 'nan or inf in the weights first.bias'),
    ],
)
def test_the_cause_is_named_and_no_step_is_made(bias, value, words):
    model = line(bias)
    before = weights(model)
    with pytest.raises(CompressionError) as caught:
        step(model, batch(value))
    text = str(caught.value)
    assert text.startswith('Iteration 7: the loss is not finite; ') and words in text
    assert 'Images of the batch: a.jpg, b.jpg.' in text and '--resume' in text
    assert torch.equal(weights(model), before) or math.isnan(bias)


def test_a_term_that_no_layer_explains():
    model = line(2.0)
    model.factor = math.inf
    with pytest.raises(CompressionError, match='finite numbers, but the terms loss_a are not'):
        step(model, batch())


def test_a_metric_may_be_what_it_likes():
    """`accuracy` above is nan throughout, which is no loss."""
    assert 'it is finite' in cause(line(1.0), batch())


def test_the_loss_is_told_even_if_it_cannot_be_taken_again():
    model = line(0.0)
    hook, wrapper = FiniteLossHook(), OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper, iter=0)
    hook.before_train(runner)
    with pytest.raises(CompressionError, match='could not be taken a second time'):
        wrapper.update_params(torch.tensor(math.nan, requires_grad=True))


def test_weights_before_they_are_written():
    model = line(1.0)
    check_weights(model, ())
    model.second.weight.data[0, 1] = math.inf
    with pytest.raises(CompressionError, match=r'nan or inf in the weights second\.weight\.'):
        check_weights(model, ['first.weight'])
    check_weights(model, ['second.weight'])
