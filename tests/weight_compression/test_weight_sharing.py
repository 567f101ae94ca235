"""Weight sharing as a method, and Deep Compression's two stages through the whole runner."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.apis import inference_detector, init_detector
from torch import nn
from torch.nn.utils import parametrize

from mmdet_lcp import CompressionError
from mmdet_lcp.codec import init_packed_detector
from mmdet_lcp.report.report import read_report
from mmdet_lcp.transforms import (
    Codebook,
    ElementMask,
    attach,
    fold,
    mask_by_sparsity,
    transforms_of,
)
from mmdet_lcp.weight_compression import WeightCompressionRunner, WeightSharing

WHERE = 'weight_compression.methods.share'
TRAINING = dict(max_epochs=1)
DEEP_COMPRESSION = """
weight_compression = dict(
    methods=dict(
        mask=dict(type='mmdet_lcp.ConnectionPruning', sparsity=0.8, rounds=2, penalty=1e-4,
                  training=dict(max_iters=2, lr=0.01), penalty_training=dict(max_iters=1)),
        share=dict(type='mmdet_lcp.WeightSharing', bits={'bbox_head': 3, 'conv': 4, 'fc': 2},
                   training=dict(max_epochs=1, lr=0.001))),
    evaluate=['trained'],
)
"""


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.ModuleDict(
            dict(stem=nn.Conv2d(3, 8, 3), body=nn.Conv2d(8, 16, 3), norm=nn.BatchNorm2d(16))
        )
        self.head = nn.ModuleDict(dict(cls=nn.Conv2d(16, 4, 1), fc=nn.Linear(16, 10)))


def build(**keys):
    method = WeightSharing(**{'training': TRAINING, **keys})
    method.check(WHERE)
    return method


def share(detector: nn.Module, **keys) -> dict:
    (stage,), _ = build(**keys).stages(detector, WHERE)
    return stage.begin(detector, 0)


class TestMethod:
    def test_bits_by_layer_type(self):
        detector = Detector()
        log = share(detector, bits=dict(conv=3, fc=2))
        found = {p: len(m.weight.unique()) for p, m in detector.named_modules() if _shared(m)}
        assert found == {'backbone.stem': 8, 'backbone.body': 8, 'head.cls': 8, 'head.fc': 4}
        assert log['values'] == 8 * 3 + 4

    def test_bits_by_pattern_before_type(self):
        detector = Detector()
        (stage,), skipped = build(bits={'head': 2, 'conv': 5}).stages(detector, WHERE)
        assert stage.bits == {
            'backbone.stem': 5,
            'backbone.body': 5,
            'head.cls': 2,
            'head.fc': 2,
        }
        (stage,), skipped = build(bits={'fc': 5}, keep='stem').stages(detector, WHERE)
        assert stage.layers == ['head.fc']
        assert [(item.name, item.reason) for item in skipped] == [
            ('backbone.stem', f'in {WHERE}.keep'),
            ('backbone.body', f'{WHERE}.bits has no pattern that matches it'),
            ('head.cls', f'{WHERE}.bits has no pattern that matches it'),
        ]

    def test_the_error_that_is_told(self):
        detector = Detector()
        before = {p: m.weight.detach().numpy().copy() for p, m in _layers(detector)}
        log = share(detector, bits=2)
        after = {p: m.weight.detach().numpy() for p, m in _layers(detector)}
        for kind, paths in (
            ('conv', ['backbone.stem', 'backbone.body', 'head.cls']),
            ('fc', ['head.fc']),
        ):
            change = sum(((after[p] - before[p]).astype(float) ** 2).sum() for p in paths)
            squares = sum((before[p].astype(float) ** 2).sum() for p in paths)
            assert log[f'error_{kind}'] == pytest.approx(change / squares)
            assert 0.01 < log[f'error_{kind}'] < 0.3

    def test_masks_are_folded_and_zeros_stay(self):
        detector = Detector()
        layer = detector.backbone['body']
        nn.init.normal_(layer.weight)
        attach(layer, ElementMask(mask_by_sparsity(layer.weight, 0.7)))
        zeros = layer.weight == 0
        share(detector, bits=3)
        (book,) = transforms_of(layer)
        assert isinstance(book, Codebook)
        assert torch.equal(layer.weight == 0, zeros) and 4 < len(layer.weight.unique()) <= 8
        fold(detector)
        assert not parametrize.is_parametrized(layer)
        assert torch.equal(layer.weight == 0, zeros)

    def test_what_is_trained(self):
        """Every parameter that is not frozen gets a gradient: several ranks wait for it."""
        detector = Detector()
        share(detector, bits=4)
        x = torch.randn(2, 3, 9, 9)
        features = detector.backbone['norm'](
            detector.backbone['body'](detector.backbone['stem'](x))
        )
        out = (
            detector.head['cls'](features).mean()
            + detector.head['fc'](features.mean((2, 3))).square().mean()
        )
        out.backward()
        names = {name for name, p in detector.named_parameters() if p.requires_grad}
        assert {name for name, p in detector.named_parameters() if p.grad is not None} == names
        kinds = {name.rpartition('.')[2] for name in names}
        assert kinds == {'centroids', 'bias', 'weight'}
        assert {name for name in names if name.endswith('weight')} == {'backbone.norm.weight'}

    def test_gradient_of_a_centroid_by_finite_differences(self):
        detector = Detector().double()
        share(detector, bits=2)
        layer = detector.backbone['body']
        (book,) = transforms_of(layer)
        x = torch.randn(1, 8, 6, 6, dtype=torch.float64)

        def loss() -> torch.Tensor:
            return layer(x).sin().sum()

        loss().backward()
        for k in range(len(book.centroids)):
            values = []
            for step in (1e-6, -2e-6):
                with torch.no_grad():
                    book.centroids[k] += step
                values.append(float(loss()))
            with torch.no_grad():
                book.centroids[k] += 1e-6
            assert float(book.centroids.grad[k]) == pytest.approx(
                (values[0] - values[1]) / 2e-6, rel=1e-4, abs=1e-6
            )

    def test_the_seed_decides_a_random_beginning(self):
        read = []
        for seed in (1, 1, 2):
            detector = Detector()
            (stage,), _ = build(bits=3, init='random').stages(detector, WHERE)
            stage.begin(detector, seed)
            read.append(detector.backbone['body'].weight.detach().clone())
        assert torch.equal(read[0], read[1]) and not torch.equal(read[0], read[2])

    def test_a_dead_layer_is_named(self):
        detector = Detector()
        nn.init.zeros_(detector.head['cls'].weight)
        with pytest.raises(CompressionError, match=r'head\.cls: every weight'):
            share(detector)

    def test_a_diverged_layer_is_named(self):
        detector = Detector()
        with torch.no_grad():
            detector.head['fc'].weight[3, 4] = float('nan')
        with pytest.raises(CompressionError, match=r'head\.fc: 1 of 160 weights are infinite'):
            share(detector)

    @pytest.mark.parametrize(
        ('keys', 'message'),
        [
            (dict(training=None), r'share\.training is missing'),
            (dict(bits=9), r'share\.bits=9 must be at most 8'),
            (dict(bits=0), r'share\.bits=0 must be an integer >= 1'),
            (dict(bits={'conv': 2.5}), r"bits\['conv'\]=2\.5 must be an integer"),
            (dict(init='best'), r"init='best': use one of linear, density, random"),
            (dict(gradient='max'), r"gradient='max': use one of sum, mean"),
        ],
    )
    def test_bad_settings(self, keys, message):
        with pytest.raises(CompressionError, match=message):
            build(**keys)

    def test_a_pattern_that_matches_nothing(self):
        with pytest.raises(CompressionError, match=r"bits: 'neck' matches none of the 4 layers"):
            build(bits={'neck': 3, 'conv': 4}).stages(Detector(), WHERE)
        with pytest.raises(CompressionError, match='matches none of the 1 layers'):
            build(bits={'fc': 3}, layers='body').stages(Detector(), WHERE)


def _layers(detector: nn.Module):
    return [(p, m) for p, m in detector.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


def _shared(module: nn.Module) -> bool:
    return parametrize.is_parametrized(module)


class TestRun:
    """Penalty, two rounds, sharing: a whole run on the tiny detector."""

    @pytest.fixture(scope='class')
    def finished(self, write_compression, build, tmp_path_factory):
        """(runner, detector, the work_dir of a run that was killed in its third stage)."""
        config = write_compression('deep_compression', DEEP_COMPRESSION)
        killed = tmp_path_factory.mktemp('killed') / 'out'
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr('mmdet_lcp.engine.finish.write_run_pictures', lambda *_: None)
            runner = build(config)
            run_stage = WeightCompressionRunner.run_stage

            def copied(self, number):
                if number == 3:
                    shutil.copytree(self.work_dir, killed)
                run_stage(self, number)

            patch.setattr(WeightCompressionRunner, 'run_stage', copied)
            detector = runner.train()
        return runner, detector, config, killed

    @pytest.fixture(scope='class')
    def work_dir(self, finished) -> Path:
        return Path(finished[0].work_dir)

    def test_the_weights_are_sparse_and_shared(self, finished, work_dir):
        weights = torch.load(work_dir / 'compressed.pth', weights_only=True)['state_dict']
        first = finished[0].job.stages[1].layers
        assert len(first) > 10
        for path in first:
            weight = weights[f'{path}.weight'].numpy()
            count = np.floor(0.8 * weight.size + 0.5)
            assert (weight == 0).sum() == count, path
            assert len(np.unique(weight)) <= (8 if 'bbox_head' in path else 16)
        assert 'backbone.stage1.0.conv' not in first
        assert (weights['backbone.stage1.0.conv.weight'] != 0).all()

    def test_the_report(self, work_dir):
        report = read_report(work_dir)
        assert [(step.step, step.group) for step in report.steps] == [
            ('dense', None),
            ('trained', 'penalty before pruning'),
            ('trained', 'pruning round 1 of 2'),
            ('trained', 'pruning round 2 of 2'),
            ('trained', 'weight sharing'),
            ('final', None),
        ]
        assert all('coco/bbox_mAP' in step.metrics for step in report.steps)
        sizes = dict(report.file_steps())
        assert list(sizes) == [
            'dense',
            'zeros left out, values as they are',
            'shared values as indices',
            'coded: the file, with config',
        ]
        assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
        assert sizes['dense'] == sum(
            tensor.numel() * tensor.element_size()
            for tensor in torch.load(work_dir / 'compressed.pth')['state_dict'].values()
        )
        assert (
            sizes['coded: the file, with config'] == (work_dir / 'compressed.lcp').stat().st_size
        )
        # a fifth of the weights, each with 8 bits more, and what is not sparse
        assert sizes['zeros left out, values as they are'] / sizes['dense'] == pytest.approx(
            0.2 * 40 / 32, abs=0.02
        )
        page = (work_dir / 'report.md').read_text()
        assert '## Bytes after each step' in page and 'shared values as indices' in page

    def test_mmdet_opens_what_is_handed_out(self, finished, work_dir, data):
        image = next((data / 'images' / 'test').iterdir())
        plain = init_detector(
            str(work_dir / 'compressed_config.py'), str(work_dir / 'compressed.pth'), device='cpu'
        )
        packed = init_packed_detector(work_dir / 'compressed.lcp', device='cpu')
        assert type(plain).__module__.startswith('mmdet.')
        scores = [
            inference_detector(detector, str(image)).pred_instances.scores
            for detector in (plain, packed, finished[1])
        ]
        assert torch.equal(scores[0], scores[1]) and torch.equal(scores[0], scores[2])

    def test_the_log_tells_of_every_stage(self, work_dir):
        (log,) = work_dir.glob('2*/*.log')
        text = log.read_text()
        assert 'loss_penalty: ' in text
        assert 'pruning round 2 of 2: asked_sparsity 0.8, sparsity 0.8' in text
        assert 'weight sharing: values ' in text and 'error_conv ' in text

    def test_a_killed_run_ends_with_the_same_weights(self, finished, build, plain_output):
        _, _, config, killed = finished
        assert json.loads((killed / 'weight_compression_state' / 'run.json').read_text())
        build(config, work_dir=str(killed), resume=True).train()
        first, second = (
            torch.load(folder / 'compressed.pth', weights_only=True)['state_dict']
            for folder in (Path(finished[0].work_dir), killed)
        )
        assert first.keys() == second.keys()
        for name in first:
            assert torch.equal(first[name], second[name]), name
