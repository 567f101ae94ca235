"""LowBitWeights in whole runs of a tiny SSD: blocks, freezing, what is handed out, bad input."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.apis import init_detector

from mmdet_lcp import CompressionError
from mmdet_lcp.codec import PackedReader, init_packed_detector

from .conftest import dense_weights

BLOCKS = ['stage2', 'stage3', '^neck']
LOW_BIT = """
weight_compression.update(methods=dict(low_bit=dict(
    type='mmdet_lcp.LowBitWeights', bits={bits}, scale='{scale}', schedule='{schedule}',
    layers=['stage2', 'stage3', '^neck'], blocks={blocks},
    training=dict(max_epochs=1, lr=0.05))), pack=dict(half={half}))
"""


def low_bit(bits=1, scale='layer', schedule='greedy', blocks=BLOCKS, half=False) -> str:
    return LOW_BIT.format(bits=bits, scale=scale, schedule=schedule, blocks=blocks, half=half)


def packed_weights(run) -> dict[str, torch.Tensor]:
    return dict(PackedReader(run.work_dir / 'compressed.lcp').tensors())


@pytest.fixture(scope='module')
def greedy(write_compression, build):
    """A greedy run, with the weights behind each stage."""
    config = write_compression('greedy', low_bit())
    runner = build(config)
    after = []
    run_stage = runner.run_stage

    def spy(number):
        run_stage(number)
        after.append({k: v.clone() for k, v in runner.job.detector.state_dict().items()})

    runner.run_stage = spy
    detector = runner.train()
    return SimpleNamespace(
        config=config,
        work_dir=Path(runner.work_dir),
        runner=runner,
        detector=detector,
        after=after,
    )


def test_every_changed_layer_has_two_values_and_no_other(greedy):
    weights, dense = packed_weights(greedy), dense_weights(greedy.config)
    changed = [path for path in greedy.runner.job.schemes]
    assert len(changed) == 2 + 3 + 2  # conv2-x, conv3-x, one pair of extra layers
    for name, tensor in weights.items():
        layer, _, kind = name.rpartition('.')
        if kind != 'weight' or tensor.dim() < 2:
            continue
        values = tensor.unique()
        if layer in changed:
            assert len(values) == 2
            assert float(values[0]) == -float(values[1])
        else:
            assert len(values) > 100
            assert tensor.shape == dense[name].shape


def test_what_is_frozen_stays_to_the_bit(greedy):
    """Behind the first block: it, the first layers below it, and their norms' scales."""
    first, last = greedy.after[0], greedy.after[-1]
    for name in (
        'backbone.stage1.0.conv.weight',
        'backbone.stage1.0.bn.weight',
        'backbone.stage2.1.conv.parametrizations.weight.original',
        'backbone.stage2.1.bn.bias',
    ):
        assert torch.equal(first[name], last[name])
    for name in (
        'backbone.stage3.0.conv.weight',
        'backbone.stage3.0.bn.weight',
        'bbox_head.cls_convs.0.0.weight',
    ):
        original = name.replace('.weight', '.parametrizations.weight.original')
        key = name if name in last else original
        assert not torch.equal(first[name], last[key])
    # The second stage's layers are still trained in the second stage, and no more in the third.
    name = 'backbone.stage3.0.conv.parametrizations.weight.original'
    assert torch.equal(greedy.after[1][name], last[name])


def test_what_is_handed_out_computes_the_same(greedy):
    config = greedy.work_dir / 'compressed_config.py'
    checkpoint = greedy.work_dir / 'compressed.pth'
    image = torch.rand(2, 3, 64, 64)
    detectors = (
        greedy.runner.job.detector.eval(),  # with its transforms, in memory
        init_detector(str(config), str(checkpoint), device='cpu'),
        init_packed_detector(greedy.work_dir / 'compressed.lcp', device='cpu'),
    )
    with torch.no_grad():
        runs = [
            torch.cat([v.flatten() for p in d(image, mode='tensor') for v in p]) for d in detectors
        ]
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[0], runs[2])


def test_the_report_tells_real_bytes_by_layer(greedy):
    report = json.loads((greedy.work_dir / 'report.json').read_text())
    rows = {row['name']: row for row in report['weights']}
    row = rows['backbone.stage3.1.conv.weight']  # 32 x 32 x 3 x 3 binary weights, two floats
    assert row['scheme'] == '1 bit, a scale a layer'
    assert row['bytes_before'] == 4 * 9216
    assert row['bytes_after'] <= 9216 // 8 + 2 * 4
    reasons = {item['name']: item['reason'] for item in report['skipped']}
    assert 'low_bit.layers' in reasons['bbox_head.cls_convs.0.0']


def test_all_at_once_trains_as_long(write_compression, build):
    greedy = build(write_compression('as_long_greedy', low_bit()))
    at_once = build(write_compression('as_long_at_once', low_bit(schedule='all_at_once')))
    totals = []
    for runner in (greedy, at_once):
        totals.append(sum(stage.training.max_epochs for stage in runner.job.stages))
    assert totals == [3, 3]
    assert [len(runner.job.stages) for runner in (greedy, at_once)] == [3, 1]
    assert set(at_once.job.stages[0].layers) == {p for s in greedy.job.stages for p in s.layers}


def test_a_resumed_run_ends_with_the_same_weights(write_compression, build, greedy):
    from .test_runner import stopped

    config = write_compression('resumed', low_bit())
    stopped(build(config), iteration=5)  # in the second stage
    runner = build(config, resume=True)
    runner.train()
    for (name, whole), (other, resumed) in zip(
        greedy.after[-1].items(), runner.job.detector.state_dict().items(), strict=True
    ):
        assert name == other
        assert torch.equal(whole, resumed), name


def test_a_scale_a_channel(write_compression, prune):
    run = prune(write_compression('channel', low_bit(2, 'channel', 'all_at_once', half=True)))
    packed = PackedReader(run.work_dir / 'compressed.lcp')
    name = 'backbone.stage3.1.conv.weight'
    weight = packed.read(name)
    assert max(len(row.unique()) for row in weight) <= 4
    assert len(weight.unique()) > 4
    # 2 bits a weight, and a codebook of four floats (or their magnitudes) a row
    assert packed.records[name].size <= weight.numel() * 2 / 8 + len(weight) * 4 * 4 + 16
    assert packed.records['bbox_head.cls_convs.0.0.weight'].stored == 'float16'


@pytest.mark.parametrize(
    ('keys', 'words'),
    [
        ('bits=9', r'methods\.low_bit\.bits=9'),
        ('bits=0', r'methods\.low_bit\.bits=0'),
        ('bits=1.5', r'methods\.low_bit\.bits=1\.5'),
        ("scale='chanel'", r"methods\.low_bit\.scale='chanel'"),
        ("schedule='gredy'", r"schedule='gredy'.*nearest is 'greedy'"),
        ('bit=1', r"unknown key 'bit'; the nearest valid one is 'bits'"),
        ("keep_parts=['predicions']", r"nearest is 'predictions'"),
        ("keep='(('", r'low_bit\.keep=.*not a regular expression'),
        ('blocks=[]', r'low_bit\.blocks=\[\]'),
        ('freeze_norms=1', r'low_bit\.freeze_norms=1'),
        ('training=dict(max_epoch=1)', r"training has an unknown key 'max_epoch'"),
        ('training=dict(max_epochs=-1)', r'low_bit\.training\.max_epochs'),
    ],
)
def test_bad_settings_are_named(write_compression, build, keys, words):
    name = f'bad_{abs(hash(keys))}'
    training = '' if 'training=' in keys else ', training=dict(max_epochs=1)'
    extra = (
        "weight_compression.update(methods=dict(low_bit=dict(type='mmdet_lcp.LowBitWeights', "
        f'{keys}{training})))'
    )
    with pytest.raises(CompressionError, match=words):
        build(write_compression(name, extra))


@pytest.mark.parametrize(
    ('keys', 'words'),
    [
        ("layers='backbone.stage9'", r"layers: 'backbone.stage9' matches no layer.*backbone"),
        ("keep='neck.extra_layer.0'", r'keep: .*nearest is .neck\.extra_layers'),
        ("blocks=['stage[123]', 'stage4', 'nek']", r"blocks\[2\]: 'nek' matches none.*neck"),
        ("blocks=['bbox_head']", r'blocks\[0\].*only matches bbox_head.*left alone'),
        ("blocks=['backbone', 'stage3', 'neck']", r'stage3\.0\.conv is in two blocks'),
        ("blocks=['backbone']", r'in no block: neck\.extra_layers'),
        ("layers='bbox_head'", r'no layer is left to change'),
    ],
)
def test_layers_and_blocks_that_do_not_fit(write_compression, build, keys, words):
    extra = (
        "weight_compression.update(methods=dict(low_bit=dict(type='mmdet_lcp.LowBitWeights', "
        f'{keys}, training=dict(max_epochs=1))))'
    )
    runner = build(write_compression(f'unfit_{abs(hash(keys))}', extra))
    with pytest.raises(CompressionError, match=words):
        runner.job  # noqa: B018  is laid out when it is first asked for
