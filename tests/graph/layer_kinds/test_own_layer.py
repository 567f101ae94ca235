"""docs/own_layer.md as it is printed: layers outside of the package, from the trace to ONNX."""

import copy
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import detectors
import numpy as np
import pytest
import torch
from mmdet.apis import init_detector
from mmdet.registry import MODELS
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from mmdet_lcp.coverage.criteria import try_criterion
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export import export_onnx
from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.graph.example import input_channels
from mmdet_lcp.graph.layer_kinds import kind_of
from mmdet_lcp.graph.surgery import weight_dim
from mmdet_lcp.measure.cost import detector_cost, module_macs
from mmdet_lcp.measure.latency_table import layer_calls
from mmdet_lcp.pruning.delivery import PRUNED_CONFIG, PRUNED_WEIGHTS, deliver
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.targets.cost_model import first_channels, macs_model, params_model
from mmdet_lcp.registry import LAYER_KINDS

PAGE = Path(__file__).parents[3] / 'docs/own_layer.md'
SIZE = (detectors.SIZE,) * 2
KINDS = ('SeparableConvKind', 'AffineKind')


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """The page's files, each named in its first line; what they register is forgotten after."""
    folder = tmp_path_factory.mktemp('page')
    for block in re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S):
        (folder / block.split('\n')[0].removeprefix('# ')).write_text(block)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(folder)
        cfg = Config.fromfile('my_detector.py')
        torch.manual_seed(0)
        dense = detectors.randomise(MODELS.build(cfg.model))
        for module in dense.modules():
            if type(module).__name__ == 'Affine':
                torch.nn.init.uniform_(module.scale, 0.5, 1.0)
                torch.nn.init.normal_(module.shift, std=0.3)
        groups = [group for group in find_groups(dense, SIZE) if group.obstacle is None]
        totals, plan = axis_sizes(dense, groups), Plan()
        for group in groups:
            plan = plan.remove(group, range(0, group.channels, 2), totals)
        yield SimpleNamespace(folder=folder, cfg=cfg, dense=dense, groups=groups, plan=plan)
    for name in KINDS:
        LAYER_KINDS.module_dict.pop(name, None)
    for name in ('SeparableConv', 'Affine'):
        MODELS.module_dict.pop(name, None)
    sys.modules.pop('my_layers', None)


def test_the_script_of_the_page(page, capsys):
    found = runpy.run_path(str(page.folder / 'prune_it.py'))
    before, after = map(eval, capsys.readouterr().out.splitlines())
    assert after['macs'] < before['macs'] and after['params'] < before['params']
    rebuilt = MODELS.build(found['cfg'].model)
    shapes = {key: value.shape for key, value in found['detector'].state_dict().items()}
    assert {key: value.shape for key, value in rebuilt.state_dict().items()} == shapes


def test_the_groups(page):
    """By hand: a block's first convolution is read by its second one, through its norm."""
    (group,) = [g for g in page.groups if g.name == 'backbone.layer2.0.conv1']
    assert [m.path for m in group.norms] == ['backbone.layer2.0.norm_layer1']
    assert [m.path for m in group.consumers] == ['backbone.layer2.0.conv2']
    assert (group.channels, group.kinds) == (32, ('single',))
    # And the stem goes with the blocks that are added to it.
    (stem,) = [g for g in page.groups if g.name == 'backbone.conv1']
    assert 'backbone.layer1.1.conv2' in [m.path for m in stem.producers]
    assert 'backbone.layer2.0.downsample.0' in [m.path for m in stem.consumers]


def test_without_the_kinds_the_channels_stay(page, monkeypatch):
    for name in KINDS:
        monkeypatch.delitem(LAYER_KINDS.module_dict, name)
    groups = [group for group in find_groups(page.dense, SIZE) if group.obstacle is None]
    assert not any(m.path.startswith('backbone') for group in groups for m in group.members)


@torch.no_grad()
def test_masked_is_removed(page):
    exact, images = copy.deepcopy(page.dense).double(), detectors.noise(dtype=torch.float64)
    masked = mask_plan(copy.deepcopy(exact), page.plan)(images, mode='tensor')
    pruned = apply_plan(copy.deepcopy(exact), page.plan)
    assert detectors.distance(pruned(images, mode='tensor'), masked) < 1e-10
    assert detectors.distance(exact(images, mode='tensor'), masked) > 1e-2
    layer = pruned.backbone.layer2[0].conv1
    assert (
        layer.in_channels,
        layer.out_channels,
        page.dense.backbone.layer2[0].conv1.in_channels,
    ) == (8, 16, 16)
    assert layer.rows.shape == (32, 8, 3, 1) and layer.weight.shape == (16, 32, 1, 3)


@torch.no_grad()
def test_counted_as_pytorch_counts(page):
    for detector in (page.dense, apply_plan(copy.deepcopy(page.dense), page.plan)):
        macs = module_macs(detector, SIZE)
        with FlopCounterMode(display=False) as counter:
            detector(detectors.noise(images=1), mode='tensor')
        assert 2 * sum(macs.values()) == counter.get_total_flops()
        flops = counter.get_flop_counts()
        for path in (
            'backbone.conv1',
            'backbone.layer3.0.conv1',
            'backbone.layer4.0.downsample.0',
        ):
            assert 2 * macs[path] == sum(flops[f'RetinaNet.{path}'].values()) > 0


def test_targets_know_what_removal_saves(page):
    groups = [g for g in page.groups if g.name.startswith('backbone') and g.kinds == ('single',)]
    assert len(groups) > 4
    macs, params = macs_model(page.dense, groups, SIZE), params_model(page.dense, groups)
    for share in (0.7, 0.3):
        counts = [max(1, int(share * group.channels)) for group in groups]
        expected = detector_cost(first_channels(page.dense, groups, counts), SIZE)
        found = dict(params=params.total(counts), macs=macs.total(counts))
        assert found == pytest.approx(expected, rel=1e-12)


def test_what_a_channel_costs(page):
    """By hand, 5 -> 6 channels, k = 3, stride 2, padding 1, on 8 x 12."""
    layer = sys.modules['my_layers'].SeparableConv(5, 6, 3, stride=2, padding=1)
    source = torch.zeros(2, 5, 8, 12)
    output = layer(source)
    assert output.shape == (2, 6, 4, 6)
    costs = [
        kind_of(layer).macs_of_channel(layer, source, output, axis)
        for axis in ('in_channels', 'out_channels')
    ]
    assert costs == [2 * 6 * 4 * 12 * 3, 2 * 4 * 6 * 6 * 3]


def test_it_may_be_the_first_to_read_the_image(page):
    grey = torch.nn.Sequential(
        sys.modules['my_layers'].SeparableConv(1, 4, 3), torch.nn.Conv2d(4, 2, 1)
    )
    assert input_channels(grey) == 1


def test_timed_at_other_widths(page):
    call = next(c for c in layer_calls(page.dense, SIZE) if c.path == 'backbone.layer2.0.conv1')
    assert re.match(
        r'SeparableConv 16->32 rows=32x16x3x1 .*stride=2.* on 1x16x16', str(call.shape)
    )
    narrow, size = call.shape.build(5, 7)
    assert (size, narrow(torch.zeros(size)).shape) == ((1, 5, 16, 16), (1, 7, 8, 8))
    assert call.elements == 8 * 8


def test_its_filters(page):
    layer = page.dense.backbone.layer2[0].conv1
    every = torch.arange(layer.out_channels)
    rows = layer.weight.detach().flatten(1)
    assert torch.equal(Layer(layer, every, every).filters(layer.weight), rows)
    assert torch.equal(kind_of(layer).filters(layer), rows)


@pytest.mark.parametrize('name', ['Group Fisher', 'L1'])
def test_a_criterion_prunes_them(page, name):
    facts = try_criterion(name, lambda halvings: (page.dense, page.groups), SIZE[0])
    assert facts.groups > 4 and not facts.failures and not facts.left_out


def test_a_weight_that_reads_no_channels(page):
    with pytest.raises(CompressionError, match='SeparableConv has no dimension for in_channels'):
        weight_dim(page.dense.backbone.conv1, 'in_channels')


@torch.no_grad()
def test_saved_opened_and_exported(page, tmp_path):
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnx')
    pruned = apply_plan(copy.deepcopy(page.dense), page.plan)
    meta = {'dataset_meta': {'classes': ['a', 'b', 'c']}}
    deliver(page.cfg, pruned, page.plan, tmp_path, meta)
    config, weights = str(tmp_path / PRUNED_CONFIG), str(tmp_path / PRUNED_WEIGHTS)
    assert Config.fromfile(config).custom_imports == dict(imports=['my_layers'])
    opened = init_detector(config, weights, device='cpu')
    images = detectors.noise(images=1)
    expected = detectors.tensors(pruned(images, mode='tensor'))
    for one, two in zip(detectors.tensors(opened(images, mode='tensor')), expected, strict=True):
        assert torch.equal(one, two)

    path = tmp_path / 'pruned.onnx'
    export_onnx(opened, SIZE, path)
    session = runtime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    found = session.run(None, {'images': images.numpy()})
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4 * float(two.abs().max()))
