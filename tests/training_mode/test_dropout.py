"""Dropout by PyTorch's functions, switched off from outside."""

import pytest
import torch
import torch.nn.functional as F

from mmdet_lcp.training_mode.dropout import NoDropout

X = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
CALLS = {
    'default': lambda: F.dropout(X),
    'position': lambda: F.dropout(X, 0.5, True),
    'keyword': lambda: F.dropout(X, p=0.5, training=True),
    'in place': lambda: F.dropout(X.clone(), 0.5, True, True),
    'channels': lambda: F.dropout2d(X, 0.5, True),
    'volumes': lambda: F.dropout3d(X, 0.5, True),
    'sequences': lambda: F.dropout1d(X[0], 0.5, True),
    'alpha': lambda: F.alpha_dropout(X, 0.5, True),
    'feature alpha': lambda: F.feature_alpha_dropout(X, 0.5, True),
    'torch': lambda: torch.dropout(X, 0.5, True),
}


@pytest.mark.parametrize('name', CALLS)
def test_nothing_is_dropped(name):
    expected = X[0] if name == 'sequences' else X
    with NoDropout():
        assert torch.equal(CALLS[name](), expected)
    torch.manual_seed(0)
    assert not torch.equal(CALLS[name](), expected)


@pytest.mark.parametrize('given', [dict(dropout_p=0.5), dict(attn_mask=None, dropout_p=0.5), {}])
def test_attention(given):
    expected = F.scaled_dot_product_attention(X, X, X)
    with NoDropout():
        torch.testing.assert_close(F.scaled_dot_product_attention(X, X, X, **given), expected)
        found = F.scaled_dot_product_attention(X, X, X, None, 0.5)
        torch.testing.assert_close(found, expected)


def test_rrelu_has_its_mean_slope():
    with NoDropout():
        torch.testing.assert_close(F.rrelu(X, 0.1, 0.3, True), F.leaky_relu(X, 0.2))
