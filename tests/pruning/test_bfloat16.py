"""Training in bfloat16 on the CPU: it is that, and leads to the same channels."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from runs import TWO_GROUPS
from torch import nn

from mmdet_lcp.engine.bfloat16 import Bfloat16OptimWrapper

BFLOAT16 = "optim_wrapper.update(type='mmdet_lcp.Bfloat16OptimWrapper')\n"
SHORT = """
pruning.update(
    layers=r'stage[34]\\.[01]\\.conv', evaluate=(),
    finetune=dict(max_epochs=1, max_iters=None, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=1, lr=0.001))
"""


def test_products_are_in_bfloat16_and_nothing_else_is():
    layer = nn.Linear(4, 2)
    wrapper = Bfloat16OptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1))
    assert isinstance(wrapper, OptimWrapper)
    x = torch.randn(3, 4)
    with wrapper.optim_context(layer):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    assert torch.equal(
        y, nn.functional.linear(x.bfloat16(), layer.weight.bfloat16(), layer.bias.bfloat16())
    )
    wrapper.update_params(y.float().pow(2).mean())
    assert layer.weight.dtype == torch.float32
    assert layer(x).dtype == torch.float32


@pytest.fixture(scope='module')
def both(write_config, prune):
    """The same run in float32 and in bfloat16."""
    changes = TWO_GROUPS + SHORT
    return prune(write_config('float32', changes)), prune(
        write_config('bfloat16', changes + 'optim_wrapper = _base_.optim_wrapper\n' + BFLOAT16)
    )


def test_the_training_is_another(both):
    weights = [run.weights['backbone.stage1.0.conv.weight'] for run in both]
    assert not torch.equal(*weights) and all(w.dtype == torch.float32 for w in weights)
    torch.testing.assert_close(*weights, atol=1e-2, rtol=0.1)


def test_the_channels_are_the_same(both):
    kept = [
        {
            (path, axis, channel)
            for path, axes in run.plan['modules'].items()
            for axis, found in axes.items()
            for channel in found['keep']
        }
        for run in both
    ]
    assert len(kept[0] & kept[1]) >= 0.99 * len(kept[0])
