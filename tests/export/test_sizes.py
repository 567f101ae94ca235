"""Bytes of weights, counted by hand."""

from mmengine.config import Config
from torch import nn

from mmdet_lcp.export.sizes import dense_bytes, weight_bytes


def test_weights_count_once_and_buffers_too():
    layer = nn.Linear(3, 2, bias=False)  # 6 numbers of four bytes
    norm = nn.BatchNorm1d(2)  # weight, bias, mean, variance of 2; a count of eight bytes
    net = nn.Sequential(layer, norm, layer)
    assert weight_bytes(net) == 4 * (6 + 8) + 8


def test_the_dense_one_is_built_from_the_pruned_config(monkeypatch):
    from mmdet_lcp.export import sizes

    built = []
    monkeypatch.setattr(sizes.MODELS, 'build', lambda cfg: built.append(cfg) or nn.Linear(1, 1))
    model = dict(type='mmdet_lcp.PrunedDetector', detector='SSD', plan={}, neck=dict(a=1))
    assert dense_bytes(Config(dict(model=model))) == 8
    assert built == [dict(type='SSD', neck=dict(a=1))]
    assert dense_bytes(Config(dict(model=dict(type='SSD')))) is None
