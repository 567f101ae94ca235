"""BinaryNet and XNOR-Net in whole runs: what is handed out still has its binary inputs."""

import json
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.apis import init_detector
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from processes import Script
from ranks import train_on_two_ranks
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.codec import PackedReader, init_packed_detector
from mmdet_lcp.transforms import input_transforms
from mmdet_lcp.weight_compression import XNORNet

ROOT = Path(__file__).parents[2]
METHOD = """
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=0.001))
weight_compression.update(methods=dict(binary=dict(
    type='mmdet_lcp.{method}', layers=['stage2', 'stage3'],
    training=dict(max_epochs=1, lr=0.001))))
"""
LAYERS = [f'backbone.stage{s}.{n}.conv' for s, n in [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]]


@HOOKS.register_module(force=True)
class StopInside(Hook):
    """Ends the process, so to speak, after so many iterations."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.iteration:
            raise KeyboardInterrupt


@pytest.fixture(scope='module', params=['BinaryNet', 'XNORNet'])
def run(request, write_compression, prune):
    config = write_compression(request.param.lower(), METHOD.format(method=request.param))
    return request.param, prune(config)


def test_what_is_handed_out_computes_the_same(run):
    _, run = run
    config, checkpoint = run.work_dir / 'compressed_config.py', run.work_dir / 'compressed.pth'
    cfg = Config.fromfile(config)
    assert cfg.model.type == 'mmdet_lcp.BinaryInputDetector'
    image = torch.rand(2, 3, 64, 64)
    detectors = [
        run.runner.job.detector.eval(),
        init_detector(cfg, str(checkpoint), device='cpu'),
        init_packed_detector(run.work_dir / 'compressed.lcp', device='cpu'),
        run.detector,
    ]
    with torch.no_grad():
        outputs = [
            torch.cat([v.flatten() for part in d(image, mode='tensor') for v in part])
            for d in detectors
        ]
    for other in outputs[1:]:
        assert torch.equal(outputs[0], other)
    assert type(detectors[1]).__name__ == 'SingleStageDetector'


def test_the_layers_count_with_signs_alone(run):
    """Each reads -1 and 1 only; so are its weights, but for XNOR-Net's scale of a filter."""
    method, run = run
    detector = init_packed_detector(run.work_dir / 'compressed.lcp', device='cpu')
    assert list(input_transforms(detector)) == LAYERS
    seen = {}
    for path in LAYERS:
        layer = detector.get_submodule(path)
        layer.register_forward_pre_hook(lambda m, a, path=path: seen.update({path: a[0]}))
        rows = layer.weight.flatten(1)
        if method == 'BinaryNet':
            assert torch.equal(rows.abs(), torch.ones_like(rows))
        else:
            assert torch.equal(rows.abs(), rows.abs()[:, :1].expand_as(rows))
            assert len(rows.abs()[:, 0].unique()) > 1
    with torch.no_grad():
        detector(torch.rand(1, 3, 64, 64), mode='tensor')
    assert list(seen) == LAYERS
    for values in seen.values():
        assert torch.equal(values.abs(), torch.ones_like(values))


def test_the_weights_take_a_bit(run):
    method, run = run
    packed = PackedReader(run.work_dir / 'compressed.lcp')
    record = packed.records[f'{LAYERS[-1]}.weight']
    floats = 2 if method == 'BinaryNet' else 2 * record.shape[0]
    assert record.size <= record.elements // 8 + 4 * floats


def test_input_norms_are_trained_and_frozen(run):
    """With its layer: block 1's does not move any more when block 2 is trained."""
    _, run = run
    detector = run.runner.job.detector
    for path in LAYERS:
        norm = detector.get_submodule(path).input_transform.norm
        assert not torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert not norm.weight.requires_grad


def test_mmdets_own_tool_tests_it(run, tmp_path):
    """tools/test.py is mmdet's, in a process of its own."""
    tool = Path(mmdet.__file__).parent / '.mim' / 'tools' / 'test.py'
    if not tool.exists():
        pytest.skip('this installation of mmdet has no tools')
    _, run = run
    files = [run.work_dir / 'compressed_config.py', run.work_dir / 'compressed.pth']
    args = [*files, '--work-dir', tmp_path / 'out']
    found = Script(tool, args, tmp_path / 'prints', {'PYTHONPATH': str(ROOT)}).check()
    assert 'bbox_mAP' in found.out + found.err


def test_a_resumed_run_ends_with_the_same_weights(write_compression, build):
    """Stopped inside the second block: input transforms come back with the state."""
    extra = METHOD.format(method='XNORNet')
    whole = build(write_compression('xnor_whole', extra))
    whole.train()
    config = write_compression('xnor_resumed', extra)
    killed = build(config)
    killed.register_hook(StopInside(5))
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    resumed = build(config, resume=True)
    resumed.train()
    for (name, value), (other, found) in zip(
        whole.job.detector.state_dict().items(),
        resumed.job.detector.state_dict().items(),
        strict=True,
    ):
        assert name == other
        assert torch.equal(value, found), name


def test_a_transposed_convolution_is_left_alone():
    method = XNORNet(training=dict(max_epochs=1))
    assert 'ConvTranspose2d' in method.unfit(nn.ConvTranspose2d(2, 2, 2))
    assert method.unfit(nn.Conv2d(2, 2, 2)) is None and method.unfit(nn.Linear(2, 2)) is None


def test_methods_on_the_same_layer_are_refused(write_compression, build):
    extra = """
weight_compression.update(methods=dict(
    low=dict(type='mmdet_lcp.LowBitWeights', layers='stage2', training=dict(max_iters=0)),
    xnor=dict(type='mmdet_lcp.XNORNet', layers='stage2', training=dict(max_iters=0))))
"""
    with pytest.raises(CompressionError, match=r'methods\.xnor: .*stage2\.0\.conv .*LowBitWeight'):
        build(write_compression('both', extra)).train()


TELL = """
import json
from pathlib import Path
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class TellWeights(Hook):
    def after_run(self, runner):
        path = Path(__file__).with_name(f'rank{runner.rank}.json')
        weights = {k: float(v.double().sum()) for k, v in runner.job.detector.state_dict().items()}
        path.write_text(json.dumps(weights))
"""


def test_two_ranks_end_with_the_same_weights(write_compression, tmp_path):
    """Statistics of the input norms are averaged over the ranks, gradients too."""
    (tmp_path / 'tell_weights.py').write_text(TELL)
    hooks = """
custom_hooks = [dict(type='TellWeights')]
custom_imports = dict(imports=['tell_weights'])
"""
    config = write_compression('ranks', METHOD.format(method='XNORNet') + hooks)
    train_on_two_ranks(config, tmp_path)
    ranks = [json.loads((tmp_path / f'rank{rank}.json').read_text()) for rank in (0, 1)]
    assert ranks[0] == ranks[1]
    name = f'{LAYERS[0]}.input_transform.norm.running_var'
    packed = PackedReader(tmp_path / 'out' / 'compressed.lcp')
    assert float(packed.read(name).double().sum()) == ranks[0][name]
