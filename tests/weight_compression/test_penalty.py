"""λ Σ w² against NumPy and against weight decay."""

import numpy as np
import pytest
import torch
from torch import nn

from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.weight_compression.penalty import PenaltyStage, SquaredWeights


@pytest.fixture
def layers():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {'one': nn.Conv2d(3, 4, 3), 'two': nn.Linear(4, 2), 'free': nn.Linear(2, 2)}
    )


def squares(layers) -> list[float]:
    return [float(np.square(layers[n].weight.detach().numpy()).sum()) for n in ('one', 'two')]


def test_the_loss(layers):
    penalty = SquaredWeights([layers['one'], layers['two']], 0.25)
    (loss,) = penalty.losses({}, []).values()
    assert float(loss) == pytest.approx(0.25 * sum(squares(layers)), rel=1e-6)


def test_its_gradient_is_that_of_weight_decay(layers):
    (loss,) = SquaredWeights([layers['one']], 0.25).losses({}, []).values()
    loss.backward()
    torch.testing.assert_close(layers['one'].weight.grad, 2 * 0.25 * layers['one'].weight.detach())
    assert layers['two'].weight.grad is None


def test_the_weights_stay_the_detectors(layers):
    penalty = SquaredWeights([layers['one']], 0.25)
    assert not list(penalty.parameters()) and penalty.paths == []


def test_the_stage_tells_the_mean_square(layers):
    stage = PenaltyStage(['one', 'two'], PhaseConfig(max_epochs=1), 0.25)
    expected = sum(squares(layers)) / (4 * 3 * 9 + 2 * 4)
    assert stage.begin(layers, 0) == {'mean_square': pytest.approx(expected)}
    with torch.no_grad():
        layers['one'].weight.zero_()
    assert stage.end(layers) == {'mean_square': pytest.approx(squares(layers)[1] / 116)}
