"""Rounds of connection pruning: schedules, thresholds and masks told by NumPy."""

import numpy as np
import pytest
import torch
from connections import PATHS, TRAINING, WHERE, Detector, build, smallest_gone, weight

from mmdet_lcp import CompressionError
from mmdet_lcp.auxiliary.attached_detector import AttachedDetector
from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.transforms import ElementMask, transforms_of
from mmdet_lcp.weight_compression.penalty import PenaltyStage


def begin_all(stages, detector):
    return [stage.begin(detector, 0) for stage in stages]


class TestRounds:
    def test_sparsity_round_by_round(self):
        detector = Detector()
        stages, skipped = build(sparsity=0.9, rounds=3).stages(detector, WHERE)
        assert [stage.layers for stage in stages] == [PATHS] * 3
        assert [(item.name, 'reads the image' in item.reason) for item in skipped] == [
            ('backbone.stem', True)
        ]
        for stage, asked in zip(stages, (0.9 * 19 / 27, 0.9 * 26 / 27, 0.9), strict=True):
            before = {path: weight(detector, path) for path in PATHS}
            log = stage.begin(detector, 0)
            gone = []
            for path in PATHS:
                stays = smallest_gone(before[path], asked)
                np.testing.assert_array_equal(weight(detector, path), before[path] * stays)
                gone.append(1 - stays.mean())
            assert log['asked_sparsity'] == pytest.approx(asked)
            assert log['sparsity'] == pytest.approx(asked, abs=0.01)
            assert log['smallest_layer_sparsity'] == pytest.approx(min(gone))
            assert log['largest_layer_sparsity'] == pytest.approx(max(gone))
            assert 'layers_held_at_most' not in log
        assert not transforms_of(detector.backbone['stem'])
        assert len(transforms_of(detector.backbone['body'])) == 1  # narrower, not one on another

    def test_masks_follow_the_trained_weights_and_what_is_gone_stays_gone(self):
        detector = Detector()
        first, second = build(sparsity=0.8, rounds=2).stages(detector, WHERE)[0]
        first.begin(detector, 0)
        layer = detector.get_submodule('head.cls')
        gone = layer.weight == 0
        with torch.no_grad():
            trained = layer.parametrizations.weight.original
            trained[gone] = 100.0  # as large as it may be
            trained[~gone] = trained[~gone].flip(0)
        before = weight(detector, 'head.cls')
        second.begin(detector, 0)
        after = weight(detector, 'head.cls')
        assert not after[gone.numpy()].any()
        np.testing.assert_array_equal(after, before * smallest_gone(before, 0.8))

    def test_the_same_detector_gets_the_same_masks(self):
        logs = []
        for _ in range(2):
            detector = Detector()
            logs.append(begin_all(build(rounds=2).stages(detector, WHERE)[0], detector))
        assert logs[0] == logs[1]

    def test_trainings(self):
        method = build(
            rounds=2, last_training=dict(max_iters=7), penalty=0.1, penalty_training=TRAINING
        )
        stages, _ = method.stages(Detector(), WHERE)
        assert [stage.training.max_iters for stage in stages] == [None, None, 7]
        assert [stage.name for stage in stages] == [
            'penalty before pruning',
            'pruning round 1 of 2',
            'pruning round 2 of 2',
        ]
        assert isinstance(stages[0], PenaltyStage)


class TestPenalty:
    def test_loss_and_gradient(self):
        detector = Detector()
        stage = build(rounds=1, penalty=0.01, penalty_training=TRAINING).stages(detector, WHERE)[
            0
        ][0]
        squares = sum((weight(detector, path).astype(float) ** 2).sum() for path in PATHS)
        count = sum(weight(detector, path).size for path in PATHS)
        assert stage.begin(detector, 0)['mean_square'] == pytest.approx(squares / count)
        model = stage.trained(detector)
        assert isinstance(model, AttachedDetector)
        assert not list(model.attachments.parameters())  # nothing is attached that is saved
        losses = model(torch.zeros(1, 8, 5, 5), [], mode='loss')
        assert set(losses) == {'loss_cls', 'loss_penalty'}
        assert float(losses['loss_penalty']) == pytest.approx(0.01 * squares, rel=1e-5)
        losses['loss_penalty'].backward()
        for path in PATHS:
            layer = detector.get_submodule(path)
            torch.testing.assert_close(layer.weight.grad, 0.02 * layer.weight.detach())
        assert detector.backbone['stem'].weight.grad is None


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (dict(training=None), r'mask\.training is missing'),
        (dict(training=dict(max_epoch=1)), r"training has an unknown key 'max_epoch'"),
        (dict(training=dict(lr=0.1)), r'training: give either max_epochs or max_iters'),
        (dict(sparsity=1.0), r'mask\.sparsity=1\.0 must lie between 0 and 1'),
        (dict(sparsity=True), r'mask\.sparsity=True must lie'),
        (dict(sparsity={'fc': 2}), r"sparsity\['fc'\]=2 must lie"),
        (dict(sparsity={'(': 0.5}), r'is not a regular expression'),
        (dict(sparsity={}), 'empty mapping'),
        (dict(sparsity=0.995), r'sparsity=0\.995 would leave less of a layer than most=0\.99'),
        (dict(sparsity=0.5, quality=1), r'sparsity=0\.5 and .*quality both say'),
        (dict(quality=0), r'quality=0 would prune nothing'),
        (dict(quality='high'), r"quality='high' must be a number"),
        (dict(quality=1, scope='lamp'), 'goes with a sparsity'),
        (dict(sparsity={'fc': 0.5}, scope='global'), 'takes one sparsity'),
        (dict(scope='model'), r"scope='model': use one of layer, global, lamp"),
        (dict(rounds=0), r'mask\.rounds=0 must be an integer >= 1'),
        (dict(most=1), r'mask\.most=1 must lie'),
        (dict(penalty=-1), r'mask\.penalty=-1 must be a number >= 0'),
        (dict(penalty=0.1), r'penalty=0\.1 and .*penalty_training belong together'),
        (dict(penalty_training=TRAINING), 'belong together'),
    ],
)
def test_bad_settings(keys, message):
    with pytest.raises(CompressionError, match=message):
        build(**keys)


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (dict(layers='neck'), r"mask\.layers: 'neck' matches no layer"),
        (dict(keep='neck'), r"mask\.keep: 'neck' matches no layer"),
        (dict(sparsity={'neck': 0.5}), r"mask\.sparsity: 'neck' matches none of the 3 layers"),
        (dict(layers='stem'), 'no layer is left to change'),
    ],
)
def test_patterns_that_match_nothing(keys, message):
    with pytest.raises(CompressionError, match=message):
        build(**keys).stages(Detector(), WHERE)


def test_words_for_reports():
    assert build().scheme == 'connections pruned, sparsity 0.9'
    assert build(sparsity=0.5, scope='lamp').scheme == 'connections pruned, sparsity 0.5, lamp'
    assert build(quality={'fc': 1}).scheme == 'connections pruned, quality by layer'
    training = build(training=PhaseConfig(max_iters=3)).training
    assert training.max_iters == 3


def test_a_mask_stands_behind_another_transform():
    detector = Detector()
    (stage,), _ = build(rounds=1, layers='fc').stages(detector, WHERE)
    stage.begin(detector, 0)
    (mask,) = transforms_of(detector.head['fc'])
    assert isinstance(mask, ElementMask) and mask.sparsity == pytest.approx(0.9)
