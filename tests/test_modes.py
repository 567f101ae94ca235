"""Models in eval mode for a while."""

import pytest
from torch import nn

from mmdet_lcp.modes import in_eval


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
