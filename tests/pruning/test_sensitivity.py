"""Sensitivity of tiny detectors, against pruning by hand."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdet_lcp import CompressionError
from mmdet_lcp.graph import Plan, apply_plan, axis_sizes
from mmdet_lcp.report.sensitivity import read_sensitivity
from mmdet_lcp.selection.images import detection_loss

GROUPS = ['backbone.stage4.0.conv', 'backbone.stage4.1.conv']
EXTRA = r"""
pruning.update(
    layers=r'stage4\.[01]\.conv',
    criterion=dict(_delete_=True, type='mmdet_lcp.L1Norm'),
    update=dict(_delete_=True, type='mmdet_lcp.NoUpdate'),
    selection=dict(num_images=2),
)
"""
SENSITIVITY = 'mmdet_lcp.SensitivityRunner'


@pytest.fixture(scope='module')
def config(write_config):
    return write_config('sensitivity', EXTRA)


@pytest.fixture(scope='module')
def runner(config, build, tmp_path_factory):
    out = tmp_path_factory.mktemp('sensitivity') / 'out'
    return build(config, runner_type=SENSITIVITY, work_dir=str(out))


@pytest.fixture(scope='module')
def found(runner):
    return runner.measure([0.5, 0.75], 'both', images=3)


def test_every_cell(found):
    cells = [(cell.group, cell.ratio, cell.kept) for cell in found.cells]
    assert cells == [
        (name, ratio, 64 - round(64 * ratio)) for name in GROUPS for ratio in (0.5, 0.75)
    ]
    for cell in found.cells:
        assert {'loss', 'coco/bbox_mAP'} <= set(cell.values)
        assert cell.seconds > 0


def test_a_cell_is_the_dense_detector_with_one_group_pruned(runner, found):
    """By hand: the filters with the largest absolute sums stay."""
    name, ratio = GROUPS[1], 0.75
    group = next(group for group in runner.job.groups if group.name == name)
    detector = copy.deepcopy(runner.job.dense)
    weights = detector.get_submodule(name).weight.detach().double().numpy()
    order = np.argsort(-np.abs(weights).sum((1, 2, 3)), kind='stable')
    totals = axis_sizes(detector, [group])
    apply_plan(detector, Plan().remove(group, order[16:].tolist(), totals))
    with torch.no_grad():
        batches = runner._loss_images(3)
        losses = [float(detection_loss(detector, images)) for images in batches]
        dense = [float(detection_loss(runner.job.dense, images)) for images in batches]
    assert [len(images.inputs) for images in batches] == [2, 1]
    assert found.cell(name, ratio).values['loss'] == pytest.approx(np.mean(losses), rel=1e-4)
    assert found.dense['loss'] == pytest.approx(np.mean(dense), rel=1e-5)
    assert abs(np.mean(losses) - np.mean(dense)) > 1e-3


def test_the_images_are_others(runner):
    used, selected = (
        {sample.img_id for images in each for sample in images.data_samples}
        for each in (runner._loss_images(3), runner.job.images.batches)
    )
    assert len(used) == 3 and len(selected) == 2
    assert not used & selected


def test_the_dense_detector_stays_as_it_is(runner, found):
    own = runner.job.detector.state_dict()
    for key, value in runner.job.dense.state_dict().items():
        assert torch.equal(value, own[key]), key


def test_what_is_written(runner, found):
    folder = Path(runner.work_dir)
    assert read_sensitivity(folder) == found
    assert len((folder / 'sensitivity.csv').read_text().splitlines()) == 5
    assert (folder / 'sensitivity.png').stat().st_size > 5000
    assert not (folder / 'pruning_state').exists()


def test_one_more_ratio(runner, found, config, build, monkeypatch):
    """What is known is not measured again."""
    from mmdet_lcp.pruning import sensitivity

    removed = []
    remove = sensitivity.remove_channels
    monkeypatch.setattr(
        sensitivity,
        'remove_channels',
        lambda job, stage, *a, **k: removed.append(stage) or remove(job, stage, *a, **k),
    )
    again = build(config, runner_type=SENSITIVITY, work_dir=runner.work_dir)
    more = again.measure([0.25, 0.5], 'both', images=3)
    assert [(stage.group.name, stage.keep) for stage in removed] == [(name, 48) for name in GROUPS]
    assert more.ratios == [0.25, 0.5, 0.75]
    for cell in found.cells:
        assert more.cell(cell.group, cell.ratio) == cell


@pytest.mark.parametrize(
    ('change', 'call', 'named'),
    [
        ({'pruning.criterion.type': 'mmdet_lcp.L2Norm'}, (), 'pruning.criterion.type'),
        ({'randomness': dict(seed=3)}, (), 'seed'),
        ({'train_dataloader.batch_size': 3}, (), 'train_dataloader.batch_size'),
        ({}, ('loss', 3), '--measure'),
        ({}, ('both', 4), '--images'),
    ],
)
def test_figures_of_something_else(runner, found, config, build, change, call, named):
    before = json.dumps(found.dense)
    other = build(config, runner_type=SENSITIVITY, work_dir=runner.work_dir, **change)
    arguments = call or ('both', 3)
    with pytest.raises(
        CompressionError, match=f'of another config:\n  {named}: .* then, .* now\n'
    ):
        other.measure([0.5], *arguments)
    assert json.dumps(read_sensitivity(Path(runner.work_dir)).dense) == before


@pytest.mark.parametrize(
    ('change', 'call', 'message'),
    [
        ({}, ([],), '--ratios must be different numbers'),
        ({}, ([0.5, 0.5],), '--ratios must be different numbers'),
        ({}, ([1.0],), '--ratios 1 is the part of a group that goes'),
        ({}, ([0.5], 'loss', 0), '--images 0'),
        ({'pruning.channel_divisor': 64}, ([0.5],), 'there is nothing to prune; group by group'),
        (
            {'pruning.criterion': dict(type='mmdet_lcp.LCP', reference='full')},
            ([0.5],),
            "reference='full' needs an auxiliary network",
        ),
    ],
)
def test_mistakes(config, build, tmp_path, change, call, message):
    runner = build(config, runner_type=SENSITIVITY, work_dir=str(tmp_path / 'out'), **change)
    with pytest.raises(CompressionError, match=message):
        runner.measure(*call)
    assert not (tmp_path / 'out' / 'sensitivity.json').exists()


def test_an_attachment_is_left_out(write_config, build, tmp_path):
    """LCP's own config: its auxiliary network is not trained, so it does not count."""
    config = write_config('sensitivity_lcp', "pruning.update(layers=r'stage4\\.1\\.conv')\n")
    runner = build(config, runner_type=SENSITIVITY, work_dir=str(tmp_path / 'out'))
    found = runner.measure([0.5], images=2)
    assert [cell.kept for cell in found.cells] == [32]
    assert found.measures() == ['loss']
