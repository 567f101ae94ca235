"""Rounds of connection pruning: schedules, thresholds and masks told by NumPy."""

import numpy as np
import pytest
import torch
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.attachments import AttachedDetector
from mmdet_lcp.runner.phase_config import PhaseConfig
from mmdet_lcp.runner.weight_compression import ConnectionPruning
from mmdet_lcp.runner.weight_compression.penalty import PenaltyStage
from mmdet_lcp.runner.weight_compression.pruning_round import share_after
from mmdet_lcp.transforms import ElementMask, transforms_of

WHERE = 'weight_compression.methods.mask'
TRAINING = dict(max_epochs=1)


class Detector(nn.Module):
    """Three convolutions and a linear layer; `data_preprocessor` as a detector has one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.data_preprocessor = nn.Identity()
        self.backbone = nn.ModuleDict(
            dict(stem=nn.Conv2d(3, 8, 3), body=nn.Conv2d(8, 16, 3), norm=nn.BatchNorm2d(16))
        )
        self.head = nn.ModuleDict(dict(cls=nn.Conv2d(16, 4, 1), fc=nn.Linear(16, 10)))
        nn.init.normal_(self.head['fc'].weight, std=3)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return {'loss_cls': (self.backbone['body'](inputs)).square().mean()}


PATHS = ['backbone.body', 'head.cls', 'head.fc']


def build(**keys):
    method = ConnectionPruning(**{'training': TRAINING, **keys})
    method.check(WHERE)
    return method


def weight(detector: nn.Module, path: str) -> np.ndarray:
    return detector.get_submodule(path).weight.detach().numpy().copy()


def smallest_gone(values: np.ndarray, sparsity: float) -> np.ndarray:
    """What stays, by NumPy's order of magnitudes."""
    order = np.argsort(np.abs(values.ravel()), kind='stable')
    stays = np.ones(values.size, bool)
    stays[order[: int(np.floor(sparsity * values.size + 0.5))]] = False
    return stays.reshape(values.shape)


def begin_all(stages, detector):
    return [stage.begin(detector, 0) for stage in stages]


class TestRounds:
    def test_the_schedule_is_cubic(self):
        # equation 1 of Zhu and Gupta with s_i = 0: s_f + (0 - s_f)(1 - t/n)^3
        for rounds in (1, 3, 5):
            found = [share_after(number, rounds) for number in range(1, rounds + 1)]
            expected = [1 - (1 - t / rounds) ** 3 for t in range(1, rounds + 1)]
            assert found == pytest.approx(expected)
            assert found[-1] == 1.0 and found == sorted(found)

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


class TestThresholds:
    def test_quality_times_sigma(self):
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

    def test_sparsity_by_layer(self):
        detector = Detector()
        sparsity = {'_delete_': True, r'fc$': 0.5, '': 0.25}
        (stage,), _ = build(sparsity=sparsity, rounds=1, keep=[]).stages(detector, WHERE)
        stage.begin(detector, 0)
        for path in ('backbone.stem', *PATHS):
            gone = 1 - (weight(detector, path) != 0).mean()
            assert gone == pytest.approx(0.5 if path == 'head.fc' else 0.25, abs=0.01)

    def test_one_threshold_for_all(self):
        detector = Detector()
        before = {path: weight(detector, path) for path in PATHS}
        (stage,), _ = build(sparsity=0.6, rounds=1, scope='global').stages(detector, WHERE)
        log = stage.begin(detector, 0)
        every = np.concatenate([values.ravel() for values in before.values()])
        stays = np.split(
            smallest_gone(every, 0.6), np.cumsum([v.size for v in before.values()])[:-1]
        )
        for path, kept in zip(PATHS, stays, strict=True):
            kept = kept.reshape(before[path].shape)
            np.testing.assert_array_equal(weight(detector, path), before[path] * kept)
        assert log['sparsity'] == pytest.approx(0.6, abs=0.001)
        assert log['largest_layer_sparsity'] > 0.6 > log['smallest_layer_sparsity']

    @pytest.mark.parametrize('scope', ['global', 'lamp'])
    def test_a_layer_of_tiny_weights_does_not_die(self, scope):
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

    def test_a_quality_that_would_take_a_whole_layer(self):
        detector = Detector()
        (stage,), _ = build(quality=100, rounds=1, most=0.75).stages(detector, WHERE)
        log = stage.begin(detector, 0)
        assert log['layers_held_at_most'] == 3 and 'asked_sparsity' not in log
        assert [int((weight(detector, p) != 0).sum()) for p in PATHS] == [288, 16, 40]

    def test_a_layer_that_is_dead_already(self):
        detector = Detector()
        nn.init.zeros_(detector.head['cls'].weight)
        (stage,), _ = build(rounds=1).stages(detector, WHERE)
        with pytest.raises(CompressionError, match=r'head\.cls: every weight .* is zero'):
            stage.begin(detector, 0)

    def test_a_layer_that_has_diverged(self):
        detector = Detector()
        with torch.no_grad():
            detector.head['cls'].weight[0, 0] = float('inf')
        (stage,), _ = build(rounds=1).stages(detector, WHERE)
        with pytest.raises(CompressionError, match=r'head\.cls: 1 of 64 weights are infinite'):
            stage.begin(detector, 0)


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
