"""A run with DCP: parts that share a classifier, kernels from the criterion, and resumption."""

import json

import pytest
import torch
from runs import SHORT

from mmdet_lcp import CompressionError
from mmdet_lcp.graph import ChannelGroup, Plan
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.criteria import DCP, Selection
from mmdet_lcp.pruning.removal import check_count

from .test_resume import Killed, assert_same_result

# Three groups in two parts: the first alone, then two that share a classifier.
PARTS = r"""
pruning.update(
    method='DCP',
    layers=r'stage4\.[012]\.conv',
    attachment=dict(_delete_=True, type='mmdet_lcp.DiscriminationAuxiliary', losses=2),
    criterion=dict(_delete_=True, type='mmdet_lcp.DCP', channels_per_step=8, inner_lr=0.01),
    update=dict(_delete_=True, type='mmdet_lcp.NoUpdate'),
    finetune=dict(max_epochs=2, max_iters=None, lr=0.005, param_scheduler=[
        dict(type='MultiStepLR', milestones=[1])]),
    retrain=dict(max_epochs=1, lr=0.001),
    evaluate=('finetuned',),
)
"""
GROUPS = [f'backbone.stage4.{number}.conv' for number in range(3)]


@pytest.fixture(scope='module')
def config(write_config):
    return write_config('dcp', PARTS)


@pytest.fixture(scope='module')
def run(config, prune):
    """The run that nobody disturbs; keeps what the criterion was given and gave."""
    seen = []
    select = DCP.select

    def noted(criterion, problem, keep):
        selection = select(criterion, problem, keep)
        seen.append((problem, selection))
        return selection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DCP, 'select', noted)
        patch.setattr('mmdet_lcp.engine.finish.write_run_pictures', lambda *_: None)
        ended = prune(config)
    ended.seen = seen
    return ended


def trained(run) -> list[dict]:
    lines = next(run.work_dir.glob('2*/vis_data/scalars.json')).read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if 'loss' in entry]


class TestRun:
    def test_it_ends_with_a_plain_detector(self, run):
        assert run.report['method'] == 'DCP'
        assert [(g['name'], g['kept']) for g in run.report['groups']] == [(n, 32) for n in GROUPS]
        assert type(run.detector).__name__ == 'SingleStageDetector'
        own = run.detector.state_dict()
        assert own.keys() == run.weights.keys() == run.runner.job.dense.state_dict().keys()
        assert not [key for key in own if 'attach' in key or 'network' in key]
        assert run.weights['backbone.stage4.1.conv.weight'].shape == (32, 32, 3, 3)
        assert all(torch.isfinite(value).all() for value in run.weights.values())

    def test_a_part_is_trained_before_its_first_group(self, run):
        entries = trained(run)
        # three iterations an epoch: 2 epochs for one group, 4 for two, then 1 of retraining
        assert [entry['step'] for entry in entries] == list(range(1, 22))
        along = ['loss_discrimination' in entry for entry in entries]
        assert along == [True] * 18 + [False] * 3
        assert all('loss_bbox' in entry for entry in entries)
        # the schedule is stretched with the part: its step comes after 1 of 2, 2 of 4 epochs
        rates = [round(entry['lr'], 6) for entry in entries]
        assert rates[:18] == [0.005] * 3 + [0.0005] * 3 + [0.005] * 6 + [0.0005] * 6

    def test_steps_without_training_are_not_measured(self, run):
        steps = [(step['step'], step['group']) for step in run.report['steps']]
        assert steps == [
            ('dense', None),
            ('finetuned', GROUPS[0]),
            ('finetuned', GROUPS[1]),
            ('final', None),
        ]

    def test_the_groups_of_a_part_share_their_classifier(self, run):
        first, second, third = (problem.terms[-1].attachment for problem, _ in run.seen)
        assert first.path == 'backbone.stage4.1.conv'
        # the last group's reader lies behind the backbone
        assert second.path == third.path and not second.path.startswith('backbone.stage4')
        one, other = second.state_dict(), third.state_dict()
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert first.network.head.weight.shape == (10, 64)
        assert not third.training and not any(p.requires_grad for p in third.parameters())

    def test_both_losses_count(self, run):
        for problem, selection in run.seen:
            assert selection.log['reconstruction'] > 0
            assert selection.log['discrimination'] > 0
            assert len(problem.terms) == 2


def test_refined_kernels_reach_the_detector(write_config, prune, tmp_path, plain_output):
    """Without any training the delivered kernels are those that the criterion ended with."""
    extra = 'pruning.update(finetune=dict(max_epochs=0), retrain=dict(max_epochs=0))\n'
    given = []
    select = DCP.select

    def noted(criterion, problem, keep):
        given.append((problem.weights(), select(criterion, problem, keep)))
        return given[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DCP, 'select', noted)
        config = write_config('dcp_kernels', PARTS + extra)
        ended = prune(config, **{'pruning.layers': r'stage4\.0\.conv'})
    ((before, selection),) = given
    path = 'backbone.stage4.1.conv'
    delivered = ended.weights[f'{path}.weight']
    assert torch.equal(delivered, selection.kernels[path][:, selection.keep])
    assert not torch.allclose(delivered, before[path][:, selection.keep])


@pytest.mark.parametrize(
    ('options', 'kept'),
    [
        ({}, 8),
        ({'pruning.channel_divisor': 12}, 12),
    ],
)
def test_fewer_channels_than_the_budget(
    write_config, prune, tmp_path, plain_output, options, kept
):
    """A tolerance that the first step already meets; 8 channels a step, 32 at most."""
    extra = SHORT.replace('pruning.update(', 'pruning.update(\n    criterion=dict(_delete_=True, '
    "type='mmdet_lcp.DCP', channels_per_step=8, tolerance=1e9),")  # fmt: skip
    config = write_config('dcp_adapt', PARTS + extra)
    ended = prune(config, work_dir=str(tmp_path / 'out'), **options)
    (group,) = ended.report['groups']
    assert (group['kept'], group['total']) == (kept, 64)
    assert len(Plan.from_dict(ended.plan).modules[group['name']]['out_channels'].keep) == kept
    assert ended.weights[f'{group["name"]}.weight'].shape[0] == kept
    assert f'selected {kept} channels' in next(ended.work_dir.glob('2*/*.log')).read_text()


@pytest.mark.parametrize('keep', [[], [1, 1], range(33), range(7), range(2)])
def test_a_count_that_is_not_allowed(keep):
    stage = Stage(ChannelGroup('some.group', 64, (), (), ()), 32, 32, divisor=2, least=4)
    message = rf'some\.group: the criterion keeps {len(keep)} channels, but 32 at most and 4 at'
    with pytest.raises(CompressionError, match=message):
        check_count(stage, list(keep))
    for allowed in (4, 6, 32):
        check_count(stage, list(range(allowed)))


def test_a_criterion_that_keeps_too_many_is_stopped(write_config, build, tmp_path, monkeypatch):
    many = Selection(list(range(33)), [0.0] * 64)
    monkeypatch.setattr('mmdet_lcp.pruning.criteria.LCP.select', lambda *_: many)
    runner = build(write_config('dcp_counts', SHORT), work_dir=str(tmp_path / 'out'))
    with pytest.raises(CompressionError, match='keeps 33 channels'):
        runner.train()


def test_the_backbone_as_a_classifier(write_config, prune, tmp_path, plain_output):
    config = write_config('dcp_classifier', PARTS + SHORT)
    options = {'pruning.attachment.detector_losses': False, 'pruning.layers': r'stage4\.0\.conv'}
    options['pruning.norm_statistics'] = 'keep'
    ended = prune(config, work_dir=str(tmp_path / 'out'), **options)
    (entry,) = trained(ended)
    assert 'loss_discrimination' in entry and 'loss_bbox' not in entry
    dense, weights = ended.runner.job.dense.state_dict(), ended.weights
    # what lies behind the classifier has learnt nothing, what lies before it has
    behind = [key for key in dense if key.startswith(('neck.', 'bbox_head.', 'backbone.stage4.2'))]
    assert behind and all(torch.equal(dense[key], weights[key]) for key in behind)
    key = 'backbone.stage1.0.conv.weight'
    assert not torch.equal(dense[key], weights[key])


def test_several_ranks_must_know_of_idle_parameters(write_config, build, tmp_path, plain_output):
    config = write_config('dcp_classifier', PARTS + SHORT)
    options = {'pruning.attachment.detector_losses': False, 'work_dir': str(tmp_path / 'out')}
    runner = build(config, **options)
    runner._distributed = True
    with pytest.raises(CompressionError, match='find_unused_parameters=True'):
        runner._check_ranks()
    runner.cfg.find_unused_parameters = True
    runner._check_ranks()


# ------------------------------------------------------------------ resumption


class Stopped(Exception):
    """Stands for a kill: what is on disk is all that is left."""


def stop_after(runner, method: str, calls: int) -> None:
    """Let a runner fail right after the so-manieth call of a method."""
    real, seen = getattr(runner, method), []

    def counted(*args, **kwargs):
        result = real(*args, **kwargs)
        seen.append(1)
        if len(seen) == calls:
            raise Stopped
        return result

    setattr(runner, method, counted)


@pytest.mark.parametrize(
    ('method', 'calls', 'said'),
    [
        ('save_progress', 4, 'Resumed inside the phase, after epoch 4'),  # of the second part
        ('save_stage', 3, 'Resumed after 2 of 3'),  # between the second part's groups
        ('_finetune', 3, 'Resumed after 2 of 3'),  # inside the stage that has no training
    ],
)
def test_stopped_and_resumed(
    run, config, build, prune, tmp_path, plain_output, method, calls, said
):
    work_dir = str(tmp_path / 'out')
    runner = build(config, work_dir=work_dir)
    stop_after(runner, method, calls)
    with pytest.raises(Stopped):
        runner.train()
    stage = torch.load(tmp_path / 'out' / 'pruning_state' / 'stage.pth', weights_only=True)
    shared = stage['stages_done'] == 2
    assert (stage['attached'] is not None) == shared
    if shared:
        assert all(
            torch.equal(value, runner.job.attached.state_dict()[key])
            for key, value in stage['attached'].items()
        )
    resumed = prune(config, work_dir=work_dir, resume=True)
    assert said in max((tmp_path / 'out').glob('2*/*.log')).read_text()
    assert_same_result(run.work_dir, resumed.work_dir)
    assert resumed.report['steps'] == run.report['steps']


def test_killed_between_the_groups_of_a_part(run, config, tmp_path):
    killed = Killed(config, tmp_path / 'out', tmp_path / 'prints')
    killed.start().kill_when(killed.says(r'stage4.1.conv: selected'))
    assert not (killed.work_dir / 'report.json').exists()
    killed.start().check()
    assert_same_result(run.work_dir, killed.work_dir)
