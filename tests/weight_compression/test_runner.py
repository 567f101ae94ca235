import json

import pytest
import torch
from mmdet.apis import init_detector
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmdet_lcp import CompressionError
from mmdet_lcp.codec import init_packed_detector

from .conftest import dense_weights

LAYERS = ('backbone.stage3.0.conv.weight', 'backbone.stage4.0.conv.weight')


@HOOKS.register_module(force=True)
class Stop(Hook):
    """Ends the process, so to speak, after so many iterations."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.iteration:
            raise KeyboardInterrupt


def stopped(runner, iteration: int) -> None:
    """Train, and be killed on the way; the hook is no part of the config, which would decide."""
    runner.register_hook(Stop(iteration))
    with pytest.raises(KeyboardInterrupt):
        runner.train()


@pytest.fixture(scope='module')
def whole(write_compression, prune):
    return prune(write_compression('positive', 'weight_compression.update(evaluate=["trained"])'))


def weights(folder) -> dict[str, torch.Tensor]:
    return torch.load(folder / 'compressed.pth', weights_only=True)['state_dict']


def test_what_is_handed_out_is_a_plain_detector(whole):
    config, checkpoint = whole.work_dir / 'compressed_config.py', whole.work_dir / 'compressed.pth'
    cfg = Config.fromfile(config)
    assert cfg.model == Config.fromfile(whole.config).model
    assert 'weight_compression' not in cfg and 'runner_type' not in cfg
    plain = init_detector(cfg, str(checkpoint), device='cpu')
    dense = dense_weights(whole.config)
    assert plain.state_dict().keys() == dense.keys()
    first, second = (plain.state_dict()[name] for name in LAYERS)
    before = dense[LAYERS[0]]
    assert bool((first[before <= 0] == 0).all())
    assert not torch.equal(first, before.clamp(min=0))  # it was trained
    assert 0.3 < float((second == 0).float().mean()) < 0.7  # it was trained before its mask
    image = torch.rand(1, 3, 64, 64)
    packed = init_packed_detector(whole.work_dir / 'compressed.lcp', device='cpu')
    runs = [d(image, mode='tensor') for d in (plain, packed, whole.detector.cpu())]
    expected = torch.cat([level.flatten() for part in runs[0] for level in part])
    for run in runs[1:]:
        assert torch.equal(expected, torch.cat([v.flatten() for part in run for v in part]))


def test_a_layer_is_frozen_after_its_stage(write_compression, build, monkeypatch):
    """What the first stage trained stays, to the bit, through the second one."""
    runner = build(write_compression('frozen'))
    kept = {}
    run_stage = runner.run_stage

    def spy(number):
        run_stage(number)
        kept[number] = {k: v.clone() for k, v in runner.job.detector.state_dict().items()}

    monkeypatch.setattr(runner, 'run_stage', spy)
    runner.train()
    first = 'backbone.stage3.0.conv.parametrizations.weight.original'
    second = 'backbone.stage4.0.conv.weight'
    assert torch.equal(kept[0][first], kept[1][first])
    after = kept[1]['backbone.stage4.0.conv.parametrizations.weight.original']
    assert not torch.equal(kept[0][second], after)


# 6 iterations a stage, 3 an epoch: inside an epoch, in the next, in the second stage, at its end
@pytest.mark.parametrize('iteration', [1, 5, 8, 12])
def test_stopped_and_resumed(whole, write_compression, prune, build, iteration, plain_output):
    config = write_compression(f'stopped{iteration}', 'weight_compression["evaluate"]=["trained"]')
    stopped(build(config), iteration)
    again = prune(config, resume=True)
    one, other = weights(whole.work_dir), weights(again.work_dir)
    assert one.keys() == other.keys()
    for key in one:
        assert torch.equal(one[key], other[key]), key
    assert again.report['steps'] == whole.report['steps']


def test_an_ended_run_is_not_repeated(whole, prune, caplog):
    before = (whole.work_dir / 'compressed.pth').stat().st_mtime_ns
    detector = prune(whole.config, resume=True).detector
    assert (whole.work_dir / 'compressed.pth').stat().st_mtime_ns == before
    assert all(
        torch.equal(v, weights(whole.work_dir)[k]) for k, v in detector.state_dict().items()
    )


def test_the_report(whole):
    report = whole.report
    assert report['method'] == 'Positive'
    assert [step['step'] for step in report['steps']] == ['dense', 'trained', 'trained', 'final']
    assert [s['group'] for s in report['steps'][1:3]] == [
        'stage of backbone.stage3.0.conv',
        'stage of backbone.stage4.0.conv',
    ]
    tensors = {facts['name']: facts for facts in report['weights']}
    state = weights(whole.work_dir)
    assert tensors.keys() == state.keys()
    for name, facts in tensors.items():
        assert facts['scheme'] == ('positive' if name in LAYERS else '')
        assert facts['weights'] == state[name].numel()
        assert facts['nonzero'] == int((state[name] != 0).sum())
        assert facts['bytes_before'] == state[name].numel() * state[name].element_size()
    size = (whole.work_dir / 'compressed.lcp').stat().st_size
    assert report['compressed']['file_bytes'] == size
    assert sum(facts['bytes_after'] for facts in tensors.values()) < size
    page = (whole.work_dir / 'report.md').read_text()
    assert '## Weights' in page and 'config, names, index' in page
    assert [item['name'] for item in report['skipped']] == ['backbone.stage1.0.conv']


def test_it_has_no_checkpoints_that_mmdet_could_not_read(whole):
    assert {path.name for path in whole.work_dir.glob('*.pth')} == {'compressed.pth'}


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        ('weight_compresion = weight_compression\ndel weight_compression', 'Did you mean'),
        ('weight_compression["metods"] = 1', "nearest valid one is 'methods'"),
        ('weight_compression["methods"] = 3', 'must be a dict of methods by name'),
        ('weight_compression["methods"]["positive"] = None', 'no method left'),
        ('weight_compression["methods"]["positive"]["layer"] = 1', "is 'layers'"),
        ('weight_compression["methods"]["positive"]["type"] = "Negative"', "'Positive'"),
        ('weight_compression["methods"]["positive"]["training"] = dict(lr=1)', 'training: give'),
        ('weight_compression["pack"] = dict(fc_gap_bits=9)', r'weight_compression\.pack\.fc_gap'),
        ('weight_compression["pack"] = dict(gap=9)', 'unknown key'),
        ('weight_compression["evaluate"] = "trained"', 'must be a list'),
        ('load_from = "nothing.pth"', 'no such file'),
    ],
)
def test_bad_input(write_compression, build, extra, message, tmp_path):
    name = f'bad{abs(hash(extra))}'
    config = write_compression(name, extra)
    with pytest.raises(CompressionError, match=message):
        build(config, work_dir=str(tmp_path / 'out'))
    assert not (tmp_path / 'out' / 'weight_compression_state').exists()


def test_another_runs_state(whole, build):
    with pytest.raises(CompressionError, match='holds the state of another run'):
        build(whole.config).train()
    changes = {'weight_compression.methods.positive.training.lr': 0.5}
    with pytest.raises(CompressionError, match=r'\.positive\.training\.lr: .* then, 0\.5 now'):
        build(whole.config, resume=True, **changes).train()
    state = json.loads((whole.work_dir / 'weight_compression_state' / 'run.json').read_text())
    assert 'weight_compression' in state['fingerprint']['config']
