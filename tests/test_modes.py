"""Models in eval mode for a while."""

import pytest
from torch import nn

from mmdet_lcp.modes import evaluated, frozen, in_eval


@pytest.mark.parametrize('fails', [False, True])
def test_every_module_comes_back(fails):
    models = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)), nn.Dropout().eval()
    models[0][1].eval()
    modules = [module for model in models for module in model.modules()]
    before = [module.training for module in modules]
    try:
        with in_eval(*models):
            assert not any(module.training for module in modules)
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert [module.training for module in modules] == before == [True, True, False, False]


def test_a_model_whose_train_returns_nothing():
    class Silent(nn.Linear):
        def train(self, mode=True):
            super().train(mode)

    model = Silent(2, 2)
    assert model.eval() is None
    assert evaluated(model.requires_grad_(True)) is model and not model.training
    model.train()
    assert frozen(model) is model and not model.training
    assert not any(p.requires_grad for p in model.parameters())
