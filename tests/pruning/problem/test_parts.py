"""Grouped consumers: against the ordinary convolution with zeros that computes the same."""

import copy
from types import SimpleNamespace

import detectors
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmdet_lcp.coverage.synthetic import synthetic_batch
from mmdet_lcp.graph import Plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.graph.following_norms import following_norms
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.criteria import (
    DCP,
    FPGM,
    LCP,
    BackwardElimination,
    BNScale,
    GroupFisher,
    L1Norm,
    L2Norm,
    RandomChannels,
    Taylor,
    ThiNet,
)
from mmdet_lcp.pruning.criteria.fpgm import distances
from mmdet_lcp.pruning.criteria.thinet_samples import sample_moments
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.problem.consumers import check_rows
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.parts import parts_of
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.removal import remove_channels
from mmdet_lcp.pruning.updates import ChannelScaleUpdate, ExactUpdate, NoUpdate, SGDUpdate
from mmdet_lcp.selection.images import SelectionImages

GROUPS, INS, OUTS = 3, 4, 2


def dense_form(conv: nn.Conv2d) -> nn.Conv2d:
    """The same convolution without groups, with zeros between them."""
    full = nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding
    ).to(conv.weight)
    with torch.no_grad():
        full.weight.zero_()
        full.bias.copy_(conv.bias)
        for row in range(conv.out_channels):
            start = row // OUTS * INS
            full.weight[row, start : start + INS] = conv.weight[row]
    return full


def grouped(bias: bool = True) -> Layer:
    """Units of one channel of each group, the last of a group in none of them."""
    torch.manual_seed(0)
    conv = nn.Conv2d(GROUPS * INS, GROUPS * OUTS, 3, padding=1, groups=GROUPS, bias=bias).double()
    index = [g * INS + i for g in range(GROUPS) for i in range(3)]
    root = [(i + g) % 3 for g in range(GROUPS) for i in range(3)]
    return Layer(conv, torch.tensor(index), torch.tensor(root))


def problem_of(layer: Layer, images: int = 4) -> SelectionProblem:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(images, GROUPS * INS, 6, 5, generator=generator, dtype=torch.float64)
    y = torch.randn(images, layer.module.out_channels, 6, 5, generator=generator).double()
    boxes = [torch.tensor([[1.0, 1.0, 3.0, 4.0]])] * images
    batch = SelectionBatch({'c': x}, {'c': y}, None, boxes, (6, 5))
    problem = SelectionProblem('g', 3, {'c': layer}, {}, BatchCache(lambda: [batch]))
    problem.x, problem.y = x, y
    return problem


def test_masks_and_sums_are_those_of_the_dense_form():
    layer = grouped()
    full = dense_form(layer.module)
    problem = problem_of(layer)
    wide = problem_of(Layer(full, layer.index, layer.root))
    masked = problem.masked(problem.weights(), [0, 2])['c']
    other = copy.deepcopy(layer.module)
    other.weight.data = masked
    expected = wide.masked(wide.weights(), [0, 2])['c']
    torch.testing.assert_close(dense_form(other).weight.data, expected)
    assert not torch.equal(masked, layer.module.weight)
    torch.testing.assert_close(
        problem.per_channel(problem.weights()), wide.per_channel(wide.weights())
    )


def test_parts_share_their_memory_with_the_consumer():
    layer = grouped()
    layer.norm = nn.BatchNorm2d(GROUPS * OUTS).double()
    layer.norm.running_mean.normal_()
    parts = parts_of('c', layer)
    assert list(parts) == ['c[0]', 'c[1]', 'c[2]']
    x = torch.randn(2, GROUPS * INS, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        outputs = [part.layer.module(x[:, part.inputs]) for part in parts.values()]
        torch.testing.assert_close(torch.cat(outputs, 1), layer.module(x))
        for part in parts.values():
            part.layer.module.weight.fill_(2)
            part.layer.module.bias.fill_(3)
            part.layer.norm.running_mean.sub_(part.layer.norm.running_mean.clone())
    assert (layer.module.weight == 2).all() and (layer.module.bias == 3).all()
    assert (layer.norm.running_mean == 0).all()
    assert parts['c[1]'].layer.index.tolist() == [0, 1, 2]
    assert parts['c[1]'].layer.root.tolist() == [1, 2, 0]


def test_without_groups_it_is_the_consumer_itself():
    layer = Layer(nn.Conv2d(4, 2, 1), torch.arange(4), torch.arange(4))
    ((name, part),) = parts_of('c', layer).items()
    assert name == 'c' and part.layer is layer


def test_exact_update_by_numpy():
    """Each group's least squares by itself, on all positions, with almost no ridge."""
    layer = grouped()
    problem = problem_of(layer)
    problem.positions.objects = 0.0
    problem.positions.per_image = 1000
    ExactUpdate(ridge=1e-9).apply(problem, [0, 2])
    rows = F.unfold(problem.x, 3, padding=1).transpose(1, 2)  # N, places, channel * 9 + tap
    for group in range(GROUPS):
        own = layer.index[(layer.root != 1) & (layer.index // INS == group)].tolist()
        own.append(group * INS + 3)  # what belongs to no unit may change too
        columns = [channel * 9 + tap for channel in sorted(own) for tap in range(9)]
        x = rows[..., columns].flatten(0, 1).numpy()
        x = np.concatenate([x, np.ones((len(x), 1))], 1)
        y = problem.y[:, group * OUTS : (group + 1) * OUTS].flatten(2).transpose(1, 2)
        solved = np.linalg.lstsq(x, y.flatten(0, 1).numpy(), rcond=None)[0]
        kernel = layer.module.weight[group * OUTS : (group + 1) * OUTS]
        places = [channel % INS for channel in sorted(own)]
        found = kernel[:, places].flatten(1).detach().numpy()
        np.testing.assert_allclose(found.T, solved[:-1], rtol=1e-5, atol=1e-6)
        bias = layer.module.bias[group * OUTS : (group + 1) * OUTS].detach().numpy()
        np.testing.assert_allclose(bias, solved[-1], rtol=1e-5, atol=1e-6)
        gone = layer.index[(layer.root == 1) & (layer.index // INS == group)] % INS
        assert (kernel[:, gone] == 0).all()


def test_thinets_samples_are_those_of_the_dense_form():
    """With every activation sampled, nothing is drawn."""
    layer = grouped()
    problem = problem_of(layer)
    wide = problem_of(Layer(dense_form(layer.module), layer.index, layer.root))
    count = GROUPS * OUTS * 30
    found, expected = sample_moments(problem, count), sample_moments(wide, count)
    assert found.count == expected.count == 4 * count
    torch.testing.assert_close(found.xx, expected.xx)
    torch.testing.assert_close(found.xy, expected.xy)


def test_fpgm_tells_filters_of_different_groups_apart():
    conv = grouped().module
    rows = torch.arange(conv.out_channels)
    found = distances(Layer(conv, rows, rows))
    expected = distances(Layer(dense_form(conv), rows, rows))
    torch.testing.assert_close(found, expected)


def test_rows_of_a_grouped_convolution_can_be_written_down():
    model = nn.Sequential(nn.Conv2d(6, 6, 1, groups=3))
    member = SimpleNamespace(path='0')
    check_rows(model, SimpleNamespace(name='g', consumers=[member]), 'who')


@pytest.fixture(scope='module')
def shufflenet():
    model = Config.fromfile(
        detectors.__file__.rpartition('/tests/')[0] + '/configs/_base_/models/'
        'ssd_shufflenet_v1_small.py'
    ).model
    model.backbone.update(width_mult=0.5)
    model.bbox_head.update(num_classes=3)
    torch.manual_seed(0)
    detector = detectors.randomise(MODELS.build(model))
    groups = [
        group
        for group in find_groups(detector, (96, 96))
        if not group.obstacle and group.name.startswith('backbone.stage3')
    ]
    return detector, groups[:2]


METHODS = {
    'LCP': (LCP, lambda: SGDUpdate(passes=2)),
    'LCP, exact': (BackwardElimination, ExactUpdate),
    'exact, identity': (lambda: BackwardElimination(metric='identity'), NoUpdate),
    'DCP': (DCP, NoUpdate),
    'ThiNet': (ThiNet, ChannelScaleUpdate),
    'Group Fisher': (lambda: GroupFisher('flops'), NoUpdate),
    'Taylor': (Taylor, NoUpdate),
    'FPGM': (FPGM, NoUpdate),
    'BN scale': (BNScale, NoUpdate),
    'L1': (L1Norm, NoUpdate),
    'L2': (L2Norm, NoUpdate),
    'random': (RandomChannels, NoUpdate),
}


@pytest.mark.parametrize('name', METHODS)
def test_every_method_on_shufflenet(name, shufflenet):
    """Select in grouped layers between shuffles, update what reads them, remove."""
    dense, groups = shufflenet
    criterion, update = (make() for make in METHODS[name])
    detector = copy.deepcopy(dense).requires_grad_(True)
    inputs, samples = synthetic_batch(2, 96, dense)
    images = SelectionImages(inputs, None, samples)
    config = RemovalConfig(criterion=criterion, update=update)
    totals, plan = axis_sizes(dense, groups), Plan()
    norms = following_norms(dense, (96, 96))
    for group in groups:
        criterion.check(dense, group)
        update.check(dense, group)
        stage = Stage(group, 3, 3)
        selection = SelectionSet([images], 1 << 30, norms=norms)
        job = PruningJob(
            dense, detector, (96, 96), groups, [stage], [], totals, 0, selection, plan=plan
        )
        removal = remove_channels(job, stage, config, 0)
        plan = removal.plan
        assert len(removal.keep) == 3
        conv = detector.get_submodule(group.name)
        assert (conv.out_channels, conv.groups) == (conv.weight.shape[0], 3)
        if 'error_after' in removal.log:
            assert removal.log['error_after'] <= removal.log['error_before']
    masked = mask_plan(copy.deepcopy(dense), plan)
    found, expected = (tensor_forward(d.eval(), inputs) for d in (detector, masked))
    if isinstance(update, NoUpdate) and name != 'DCP':  # which fits kernels as it selects
        assert detectors.distance(found, expected) < 1e-4
    assert all(t.isfinite().all() for t in detectors.tensors(found))


@torch.no_grad()
def test_scores_of_a_unit_are_the_sums_over_its_channels(shufflenet):
    dense, (group, _) = shufflenet
    conv = dense.get_submodule(group.name)
    members = {m.path: m for m in group.producers}
    layer = Layer(
        conv, *(torch.tensor(getattr(members[group.name], k)) for k in ('index', 'root'))
    )
    problem = SelectionProblem(
        group.name, group.channels, {}, {group.name: layer}, []
    )  # fmt: skip
    found = L1Norm().scores(problem)
    norms = conv.weight.abs().flatten(1).sum(1).double()
    for unit in range(group.channels):
        own = members[group.name].map([unit])
        assert len(own) == 9
        assert float(found[unit]) == pytest.approx(float(norms[own].sum()), rel=1e-5)
