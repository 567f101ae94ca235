import json
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.optim.optimizer import amp_optimizer_wrapper
from runs import SHORT, TWO_GROUPS
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.auxiliary.base import check_attachable
from mmdet_lcp.graph import ChannelGroup, Member, Plan
from mmdet_lcp.graph.stage import Stage

GROUPS = ['backbone.stage4.0.conv', 'backbone.stage4.1.conv']


class TestFinishedRun:
    def test_every_file_is_there(self, finished):
        names = {
            'pruned_config.py',
            'pruned.pth',
            'plan.json',
            'report.json',
            'report.md',
            'detections.png',
        }
        for name in names:
            assert (finished.work_dir / name).stat().st_size > 100, name
        assert not list(finished.work_dir.rglob('*.tmp*'))

    def test_report_has_what_was_promised(self, finished):
        report = finished.report
        assert report['method'] == 'LCP'
        assert report['seed'] == 0
        assert isinstance(report['command'], str)
        assert 1 < report['seconds'] < 600
        for side in ('dense', 'compressed'):
            assert {'metrics', 'params', 'macs', 'latency_ms', 'file_bytes'} <= set(report[side])
            assert 0 <= report[side]['metrics']['coco/bbox_mAP'] <= 1
            assert report[side]['latency_ms'] > 0
        assert report['compressed']['params'] < report['dense']['params']
        assert report['compressed']['macs'] < report['dense']['macs']
        size = (finished.work_dir / 'pruned.pth').stat().st_size
        assert report['compressed']['file_bytes'] == size
        assert size < report['dense']['file_bytes']

    def test_groups_and_skipped_are_listed(self, finished):
        groups = finished.report['groups']
        assert [group['name'] for group in groups] == GROUPS
        for group in groups:
            assert (group['total'], group['asked'], group['kept']) == (64, 32, 32)
            assert group['criterion_seconds'] > 0
        skipped = finished.report['skipped']
        assert len(skipped) == 16
        assert all(item['name'] and item['reason'] for item in skipped)
        text = (finished.work_dir / 'report.md').read_text()
        assert all(item['name'] in text for item in groups + skipped)

    def test_kept_channels_are_those_of_the_weights(self, finished):
        weights = finished.weights
        for name in GROUPS:
            assert weights[f'{name}.weight'].shape[0] == 32
            assert weights[f'{name.replace(".conv", ".bn")}.running_var'].shape == (32,)
            kept = Plan.from_dict(finished.plan).modules[name]['out_channels']
            assert len(kept.keep) == 32 and kept.total == 64
        assert weights['backbone.stage4.1.conv.weight'].shape == (32, 32, 3, 3)
        assert weights['backbone.stage4.2.conv.weight'].shape == (64, 32, 3, 3)
        assert (
            sum(w.numel() for k, w in weights.items() if is_parameter(k))
            == (finished.report['compressed']['params'])
        )

    def test_steps_are_in_order(self, finished):
        steps = [(step['step'], step['group']) for step in finished.report['steps']]
        expected = [('dense', None)]
        for name in GROUPS:
            expected += [('finetuned', name), ('selected', name)]
        assert steps == [*expected, ('final', None)]
        assert all('coco/bbox_mAP_50' in step['metrics'] for step in finished.report['steps'])

    def test_what_is_returned_is_what_was_written(self, finished):
        assert type(finished.detector).__name__ == 'SingleStageDetector'
        assert not finished.detector.training
        own = finished.detector.state_dict()
        assert own.keys() == finished.weights.keys()
        for key, value in finished.weights.items():
            assert torch.equal(own[key], value), key

    def test_pruned_config_holds_nothing_of_the_run(self, finished):
        cfg = Config.fromfile(finished.work_dir / 'pruned_config.py')
        assert not {'pruning', 'runner_type', 'resume'} & set(cfg)
        assert cfg.model.type == 'mmdet_lcp.PrunedDetector'
        assert Plan.from_dict(cfg.model.plan) == Plan.from_dict(finished.plan)
        assert cfg.load_from == str(finished.work_dir / 'pruned.pth')

    def test_progress_is_shown(self, finished):
        log = next(finished.work_dir.glob('2*/*.log')).read_text()
        for number, name in enumerate(GROUPS, 1):
            assert f'Stage {number}/2: {name}, 64 -> 32 channels' in log
        assert re.search(r'Stage 2/2: .* elapsed, about .* left', log)
        table = log[log.rindex('+channels') :]
        assert 'asked' in table and 'kept' in table

    def test_steps_of_the_log_ascend_over_all_phases(self, finished):
        lines = next(finished.work_dir.glob('2*/vis_data/scalars.json')).read_text().splitlines()
        trained = [entry for entry in map(json.loads, lines) if 'loss' in entry]
        # two stages of two epochs, then four epochs of retraining, three iterations each
        assert [entry['step'] for entry in trained] == list(range(1, 25))
        assert 'loss_aux_box' in trained[0] and 'loss_aux_box' not in trained[-1]

    def test_a_dense_detector_is_left_as_it_was(self, finished):
        dense = torch.load(finished.config.parent / 'dense.pth', weights_only=True)['state_dict']
        for key, value in finished.runner.job.dense.state_dict().items():
            assert torch.equal(value, dense[key]), key


def is_parameter(key: str) -> bool:
    return not key.endswith(('running_mean', 'running_var', 'num_batches_tracked'))


class TestSeeds:
    def test_same_seed_same_plan(self, finished, prune, tmp_path, plain_output):
        again = prune(finished.config, work_dir=str(tmp_path / 'again'))
        plans = [(run.work_dir / 'plan.json').read_bytes() for run in (finished, again)]
        assert plans[0] == plans[1]
        for key, value in again.weights.items():
            assert torch.equal(value, finished.weights[key]), key

    def test_another_seed_runs_and_picks_otherwise(
        self, write_config, prune, tmp_path, plain_output
    ):
        config = write_config('seeds', SHORT)
        plans = []
        for seed in (1, 2):
            run = prune(config, randomness=dict(seed=seed), work_dir=str(tmp_path / str(seed)))
            assert run.report['seed'] == seed
            plans.append(run.plan)
        assert plans[0] != plans[1]


class TestMmengineFeatures:
    """One run: mixed precision, averaged weights, a worker process, phases in iterations."""

    EXTRA = r"""
optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16')
custom_hooks = [
    dict(type='mmdet_lcp.DropDegenerateBoxesHook'),
    dict(type='EMAHook', momentum=1e-4),
]
train_dataloader.update(num_workers=1, persistent_workers=True)
pruning.update(
    finetune=dict(max_epochs=None, max_iters=4, lr=0.001, param_scheduler=[
        dict(type='LinearLR', start_factor=0.5, by_epoch=False)]),
    retrain=dict(max_epochs=None, max_iters=5, lr=0.01, val_interval=1, param_scheduler=[
        dict(type='MultiStepLR', milestones=[1], by_epoch=True)]),
    channel_divisor=24,
    method='mine',
)
"""

    @pytest.fixture(scope='class')
    def run(self, write_config, prune):
        with pytest.MonkeyPatch.context() as patch:
            # mmengine wants an accelerator, though autocast and its scaler work without one
            patch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
            return prune(write_config('features', TWO_GROUPS + self.EXTRA))

    @pytest.fixture(scope='class')
    def trained(self, run):
        lines = next(run.work_dir.glob('2*/vis_data/scalars.json')).read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if 'loss' in entry]

    def test_it_ends_well(self, run):
        assert [group['kept'] for group in run.report['groups']] == [24, 24]
        assert [group['asked'] for group in run.report['groups']] == [32, 32]
        assert run.report['method'] == 'mine'
        assert all(torch.isfinite(value).all() for value in run.weights.values())
        assert all(value.dtype != torch.bfloat16 for value in run.weights.values())

    def test_phases_end_after_their_iterations(self, run, trained):
        # the last epoch of a phase is cut short: 3 + 1, 3 + 1, 3 + 2 iterations
        assert [entry['step'] for entry in trained] == list(range(1, 14))
        assert [entry['epoch'] for entry in trained] == [1, 1, 1, 2, 3, 3, 3, 4, 5, 5, 5, 6, 6]

    def test_schedules_begin_anew_in_every_phase(self, trained):
        rates = [round(entry['lr'], 9) for entry in trained]
        assert rates[0] == rates[4] == 0.0005
        assert rates[:4] == rates[4:8] == sorted(rates[:4])
        assert rates[8:] == [0.01, 0.01, 0.01, 0.001, 0.001]

    def test_what_is_handed_out_is_the_average(self, run):
        hook = next(hook for hook in run.runner._hooks if isinstance(hook, EMAHook))
        raw = hook.ema_model.module.state_dict()  # swapped with the average at the end
        weights = run.weights
        assert {key: value.shape for key, value in raw.items()} == {
            key: value.shape for key, value in weights.items()
        }
        assert any(not torch.equal(raw[key], weights[key]) for key in raw if is_parameter(key))
        # At this momentum the average of a phase hardly moves from its first iteration on.
        dense = run.runner.job.dense.state_dict()
        for key in ('backbone.stage1.0.conv.weight', 'bbox_head.reg_convs.0.0.weight'):
            moved = (weights[key] - dense[key]).norm()
            assert moved < (raw[key] - dense[key]).norm(), key


# name -> (changed keys, terms that the log must show as zero)
SWITCHES = {
    'plain RoIAlign': (dict(attachment=dict(contextual=False)), ()),
    'no classification loss': (dict(attachment=dict(cls_weight=0)), ('share_classification',)),
    'no regression loss': (dict(attachment=dict(box_weight=0)), ('share_regression',)),
    'no auxiliary network': (
        dict(objective=dict(alpha=0), attachment=None),
        ('share_classification', 'share_regression'),
    ),
    'no reconstruction': (dict(objective=dict(reconstruction=0)), ('share_reconstruction',)),
    'greedy': (dict(criterion=dict(greedy_steps=2)), ()),
    'gradient at the full kernels': (dict(criterion=dict(reference='full')), ()),
}


@pytest.mark.parametrize('name', SWITCHES)
def test_ablation_switch(name, write_config, prune, tmp_path, plain_output):
    changes, silent = SWITCHES[name]
    config = write_config('switches', SHORT)
    options = {f'pruning.{key}': value for key, value in changes.items()}
    run = prune(config, work_dir=str(tmp_path / 'out'), **options)
    (group,) = run.report['groups']
    assert (group['name'], group['kept']) == ('backbone.stage4.1.conv', 32)
    plan = Plan.from_dict(run.plan)
    assert len(plan.modules['backbone.stage4.1.conv']['out_channels'].keep) == 32
    line = re.search(r'selected in .*', next(run.work_dir.glob('2*/*.log')).read_text())[0]
    shares = {key: float(v) for key, v in re.findall(r'(share_\w+) ([\d.e+-]+)', line)}
    assert len(shares) == 3
    for term, share in shares.items():
        assert (share == 0) == (term in silent), line


def test_no_term_left_is_an_error(write_config, build):
    config = write_config('switches', SHORT)
    with pytest.raises(CompressionError, match='objective'):
        build(config, **{'pruning.objective': dict(reconstruction=0, alpha=0)})


def test_stages_pick_a_stage_of_the_backbone(write_config, prune, tmp_path, plain_output):
    config = write_config('switches', SHORT)
    options = {'pruning.layers': r'^backbone\.', 'pruning.stages': [1], 'pruning.min_channels': 6}
    run = prune(config, work_dir=str(tmp_path / 'out'), **options)
    groups = run.report['groups']
    assert [group['name'].split('.')[1] for group in groups] == ['stage1'] * len(groups)
    assert [(group['asked'], group['kept']) for group in groups] == [(4, 6)] * len(groups)


def test_a_group_before_a_linear_layer_is_told_before_training():
    detector = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(16, 2))
    producer = Member('0', 'out_channels', (0, 1, 2, 3), (0, 1, 2, 3))
    reader = Member('2', 'in_channels', tuple(range(16)), tuple(i // 4 for i in range(16)))
    group = ChannelGroup('0', 4, (producer,), (), (reader,))
    with pytest.raises(CompressionError, match=r'is 2, a Linear.*pruning\.attachment=None'):
        check_attachable(detector, [Stage(group, 2, 2)])
