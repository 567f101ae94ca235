"""One round of connection pruning: shares and thresholds, told by NumPy."""

import numpy as np
import pytest
import torch
from connections import PATHS, WHERE, Detector, build, smallest_gone, weight
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.weight_compression.pruning_round import share_after


def test_the_schedule_is_cubic():
    # equation 1 of Zhu and Gupta with s_i = 0: s_f + (0 - s_f)(1 - t/n)^3
    for rounds in (1, 3, 5):
        found = [share_after(number, rounds) for number in range(1, rounds + 1)]
        expected = [1 - (1 - t / rounds) ** 3 for t in range(1, rounds + 1)]
        assert found == pytest.approx(expected)
        assert found[-1] == 1.0 and found == sorted(found)


def test_quality_times_sigma():
    detector = Detector()
    quality = {'fc': 1.5, 'backbone': 0.5}
    (stage,), skipped = build(quality=quality, rounds=1).stages(detector, WHERE)
    assert stage.layers == ['backbone.body', 'head.fc']
    assert ('head.cls', f'{WHERE}.quality has no pattern that matches it') in [
        (item.name, item.reason) for item in skipped
    ]
    before = {path: weight(detector, path) for path in stage.layers}
    stage.begin(detector, 0)
    for path, q in (('backbone.body', 0.5), ('head.fc', 1.5)):
        kept = np.abs(before[path]) >= q * before[path].std()
        np.testing.assert_array_equal(weight(detector, path), before[path] * kept)


def test_sparsity_by_layer():
    detector = Detector()
    sparsity = {'_delete_': True, r'fc$': 0.5, '': 0.25}
    (stage,), _ = build(sparsity=sparsity, rounds=1, keep=[]).stages(detector, WHERE)
    stage.begin(detector, 0)
    for path in ('backbone.stem', *PATHS):
        gone = 1 - (weight(detector, path) != 0).mean()
        assert gone == pytest.approx(0.5 if path == 'head.fc' else 0.25, abs=0.01)


def test_one_threshold_for_all():
    detector = Detector()
    before = {path: weight(detector, path) for path in PATHS}
    (stage,), _ = build(sparsity=0.6, rounds=1, scope='global').stages(detector, WHERE)
    log = stage.begin(detector, 0)
    every = np.concatenate([values.ravel() for values in before.values()])
    stays = np.split(smallest_gone(every, 0.6), np.cumsum([v.size for v in before.values()])[:-1])
    for path, kept in zip(PATHS, stays, strict=True):
        kept = kept.reshape(before[path].shape)
        np.testing.assert_array_equal(weight(detector, path), before[path] * kept)
    assert log['sparsity'] == pytest.approx(0.6, abs=0.001)
    assert log['largest_layer_sparsity'] > 0.6 > log['smallest_layer_sparsity']


@pytest.mark.parametrize('scope', ['global', 'lamp'])
def test_a_layer_of_tiny_weights_does_not_die(scope):
    detector = Detector()
    with torch.no_grad():
        detector.head['cls'].weight *= 1e-6
    (stage,), _ = build(sparsity=0.5, rounds=1, scope=scope, most=0.9).stages(detector, WHERE)
    log = stage.begin(detector, 0)
    left = int((weight(detector, 'head.cls') != 0).sum())
    if scope == 'global':
        assert left == 7 and log['layers_held_at_most'] == 1  # of 64, a tenth rounded up
    else:
        assert left > 7
    assert log['sparsity'] == pytest.approx(0.5, abs=0.001)


def test_a_quality_that_would_take_a_whole_layer():
    detector = Detector()
    (stage,), _ = build(quality=100, rounds=1, most=0.75).stages(detector, WHERE)
    log = stage.begin(detector, 0)
    assert log['layers_held_at_most'] == 3 and 'asked_sparsity' not in log
    assert [int((weight(detector, p) != 0).sum()) for p in PATHS] == [288, 16, 40]


def test_a_layer_that_is_dead_already():
    detector = Detector()
    nn.init.zeros_(detector.head['cls'].weight)
    (stage,), _ = build(rounds=1).stages(detector, WHERE)
    with pytest.raises(CompressionError, match=r'head\.cls: every weight .* is zero'):
        stage.begin(detector, 0)


def test_a_layer_that_has_diverged():
    detector = Detector()
    with torch.no_grad():
        detector.head['cls'].weight[0, 0] = float('inf')
    (stage,), _ = build(rounds=1).stages(detector, WHERE)
    with pytest.raises(CompressionError, match=r'head\.cls: 1 of 64 weights are infinite'):
        stage.begin(detector, 0)
