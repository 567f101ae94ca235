import pytest
from mmengine.optim import AmpOptimWrapper

from mmdet_lcp.engine.training_check import built_from, check_precision
from mmdet_lcp.errors import CompressionError


@pytest.mark.parametrize('kind', ['AmpOptimWrapper', 'mmengine.AmpOptimWrapper', AmpOptimWrapper])
def test_mixed_precision_needs_a_gpu(kind, monkeypatch):
    path = 'mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available'
    monkeypatch.setattr(path, lambda: False)
    with pytest.raises(CompressionError, match=r"optim_wrapper\.type='OptimWrapper'"):
        check_precision(dict(type=kind))
    monkeypatch.setattr(path, lambda: True)
    check_precision(dict(type=kind))


@pytest.mark.parametrize('given', [None, {}, dict(type='OptimWrapper')])
def test_others_are_left(given):
    check_precision(given)


def test_the_key_is_named():
    message = r'`optim_wrapper` cannot be built: .*: no lr'
    with pytest.raises(CompressionError, match=message), built_from('optim_wrapper'):
        raise ValueError('no lr')
