"""Whole runs on detectors with regions of their own: two-stage, and one without anchors."""

import json
import re
from pathlib import Path

import pytest
import tiny
import torch
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config
from ranks import TELL, TELL_PLAN, train_on_two_ranks

from mmdet_lcp.graph import Plan

GROUPS = ['backbone.layer3.1.conv1', 'backbone.layer4.1.conv1']
# An iteration of training before each group and two at the end.
SHORT = """
pruning.update(
    selection=dict(num_images=4),
    finetune=dict(max_epochs=None, max_iters=2, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=1, lr=0.01),
)
optim_wrapper = dict(clip_grad=dict(max_norm=5))
"""
PROPOSALS = "pruning.update(attachment=dict(boxes='proposals'))\n"
EXACT = """
pruning = {**pruning, 'attachment': None, 'finetune': dict(_delete_=True, max_iters=0),
           'criterion': dict(_delete_=True, type='mmdet_lcp.BackwardElimination',
                             metric='gradient')}
"""
# Stem, first two residual stages; all statistics; scale and shift of no norm but theirs.
FROZEN = "model['backbone'].update(frozen_stages=3, norm_eval=True)\n"


@pytest.fixture(scope='module')
def run(tmp_path_factory, data, prune):
    """Prune a tiny detector of one kind."""
    folders = {}

    def run_kind(kind: str, name: str, *changes: str):
        folder = folders.setdefault(kind, tmp_path_factory.mktemp(kind))
        extra = getattr(tiny, kind) + SHORT + ''.join(changes)
        return prune(tiny.make_config(folder, data, name, extra))

    return run_kind


@pytest.fixture(scope='module')
def anchors(run):
    return run('FASTER_RCNN', 'anchors')


@pytest.fixture(scope='module')
def proposals(run):
    return run('FASTER_RCNN', 'proposals', PROPOSALS, FROZEN)


def scalars(done) -> list[dict]:
    (path,) = done.work_dir.glob('2*/vis_data/scalars.json')
    return [entry for entry in map(json.loads, path.read_text().splitlines()) if 'loss' in entry]


def log(done) -> str:
    (path,) = done.work_dir.glob('2*/*.log')
    return path.read_text()


def check_pruned(done, kind: str) -> None:
    """Half of the channels of both groups are gone, in a plain detector that mmdet opens."""
    facts = [(g['name'], g['total'], g['kept']) for g in done.report['groups']]
    assert facts == [(GROUPS[0], 32, 16), (GROUPS[1], 64, 32)]
    for path, count in zip(GROUPS, (16, 32), strict=True):
        assert done.weights[f'{path}.weight'].shape[0] == count
        assert done.weights[f'{path.removesuffix("1")}2.weight'].shape[1] == count
    files = [str(done.work_dir / name) for name in ('pruned_config.py', 'pruned.pth')]
    detector = init_detector(*files, device='cpu')
    assert type(detector).__name__ == kind
    assert type(detector).__module__.startswith('mmdet.')
    done.detector.cfg = detector.cfg
    image = str(next((Path(done.runner.cfg.data_root) / 'images' / 'test').iterdir()))
    found, own = (inference_detector(d, image).pred_instances for d in (detector, done.detector))
    assert len(found) > 0
    for key in ('bboxes', 'scores', 'labels'):
        assert torch.equal(found[key], own[key]), key


@pytest.mark.parametrize('which', ['anchors', 'proposals'])
def test_faster_rcnn_with_the_auxiliary_network(which, request):
    done = request.getfixturevalue(which)
    check_pruned(done, 'FasterRCNN')
    trained = scalars(done)
    assert len(trained) == 2 + 2 + 3
    for entry in trained[:4]:
        assert entry['loss_aux_cls'] > 0 and entry['loss_aux_box'] > 0
        assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox'} <= set(entry)
    assert not any('loss_aux_cls' in entry for entry in trained[4:])
    for batch in done.runner.job.images.batches:
        assert batch.samples.positive.any()
        # classes of the digits, not the one class of the RPN
        assert set(batch.samples.labels[batch.samples.positive].tolist()) <= set(range(10))
        assert (batch.samples.labels[~batch.samples.positive] == 10).all()
        assert len(batch.samples.labels.unique()) > 2


def test_the_boxes_are_what_the_config_says(anchors, proposals):
    by_kind = {}
    for done in (anchors, proposals):
        rois = torch.cat([batch.samples.rois for batch in done.runner.job.images.batches])
        sides = rois[:, 3:] - rois[:, 1:3]
        by_kind[done.config.stem] = {tuple(round(v, 3) for v in side) for side in sides.tolist()}
    # Two shapes of anchor on three levels: 2 strides wide and high, or 1.6 times as high as wide.
    expected = {
        (round(2 * s * w, 3), round(2 * s / w, 3)) for s in (8, 16, 32) for w in (1, 1.6**-0.5)
    }
    assert by_kind['anchors'] <= expected and len(by_kind['anchors']) > 1
    assert len(by_kind['proposals'] - expected) > 5


def test_exact_form_on_faster_rcnn(run):
    done = run('FASTER_RCNN', 'exact', EXACT)
    check_pruned(done, 'FasterRCNN')
    assert len(scalars(done)) == 3
    assert all(batch.samples is None for batch in done.runner.job.images.batches)


def test_fcos_with_the_auxiliary_network(run):
    done = run('FCOS', 'fcos')
    check_pruned(done, 'FCOS')
    assert all(entry['loss_aux_box'] > 0 for entry in scalars(done)[:4])
    for batch in done.runner.job.images.batches:
        rois = batch.samples.rois
        sides = (rois[:, 3:] - rois[:, 1:3]).unique(dim=0)
        # squares of 8 strides
        assert {tuple(side) for side in sides.tolist()} <= {(64, 64), (128, 128), (256, 256)}


class TestFrozen:
    """Frozen stages, and statistics that training leaves alone."""

    def test_the_log_says_what_it_means(self, proposals, anchors):
        text = log(proposals)
        told = text.index('1 of the 2 layers that lose channels are frozen')
        assert told < text.index('Stage 1/2')
        assert GROUPS[0] in text[told : told + 300]
        assert 'model.backbone.frozen_stages=-1' in text[told : told + 600]
        assert re.search(r'20 of 20 batch norms keep their running statistics', text)
        assert 'are frozen' not in log(anchors) and 'batch norms keep' not in log(anchors)

    def test_frozen_layers_are_those_of_before(self, proposals):
        """All but the kernels that an update has changed, less the channels that are gone."""
        dense = proposals.runner.job.dense.state_dict()
        plan = Plan.from_dict(proposals.plan)
        updated = 'backbone.layer3.1.conv2.weight'
        frozen = [
            key
            for key in dense
            if re.match(r'backbone\.(conv1|bn1|layer[123])\b', key)
            and not key.endswith('num_batches_tracked')
        ]
        assert len(frozen) > 50
        for key in frozen:
            path, _, name = key.rpartition('.')
            value = dense[key]
            for axis, dim in (('out_channels', 0), ('in_channels', 1)):
                kept = plan.modules.get(path, {}).get(axis)
                if kept is not None and dim < value.dim():
                    value = value.index_select(dim, torch.tensor(kept.keep))
            statistic = name.startswith('running')  # may be taken anew before the retraining
            if key == updated:
                assert value.shape == proposals.weights[key].shape
                assert not torch.equal(proposals.weights[key], value)
            elif not statistic:
                assert torch.equal(proposals.weights[key], value), key
        for key in ('backbone.layer4.0.conv1.weight', 'rpn_head.rpn_conv.weight'):
            assert not torch.equal(proposals.weights[key], dense[key]), key

    def test_they_are_frozen_in_what_is_handed_out(self, proposals):
        cfg = Config.fromfile(proposals.work_dir / 'pruned_config.py')
        detector = init_detector(cfg, str(proposals.work_dir / 'pruned.pth'), device='cpu').train()
        for name, parameter in detector.named_parameters():
            frozen = re.match(r'backbone\.(conv1|bn1|layer[123])\b', name) is not None
            assert parameter.requires_grad is not frozen, name

    def test_statistics_do_not_follow_the_training(self, proposals):
        """One more training step on the pruned detector leaves every statistic as it is."""
        detector = proposals.detector
        before = {
            key: value.clone() for key, value in detector.state_dict().items() if 'running' in key
        }
        runner = proposals.runner
        batch = next(iter(runner.train_dataloader))
        detector.train()
        data = detector.data_preprocessor(batch, True)
        loss, _ = detector.parse_losses(detector.loss(data['inputs'], data['data_samples']))
        loss.backward()
        for key, value in before.items():
            assert torch.equal(detector.state_dict()[key], value), key
        assert detector.get_submodule(GROUPS[0]).weight.grad is None
        assert detector.get_submodule(GROUPS[1]).weight.grad.abs().sum() > 0
        detector.zero_grad()
        detector.eval()


def test_two_ranks_select_the_same(tmp_path, data):
    (tmp_path / 'tell_plan.py').write_text(TELL_PLAN)
    extra = tiny.FASTER_RCNN + SHORT + PROPOSALS
    extra += 'test_dataloader, test_cfg, test_evaluator = None, None, None\n'
    extra += "pruning.update(layers=r'layer4\\.1\\.conv1', retrain=dict(max_epochs=0))\n"
    config = tiny.make_config(tmp_path, data, 'ranks', extra)
    config.write_text(config.read_text() + TELL)
    train_on_two_ranks(config, tmp_path)
    ranks = [json.loads((tmp_path / f'rank{rank}.json').read_text()) for rank in (0, 1)]
    plan = json.loads((tmp_path / 'out' / 'plan.json').read_text())
    assert ranks[0][0] == ranks[1][0] == plan
    assert len(plan['modules']['backbone.layer4.1.conv1']['out_channels']['keep']) == 32
    for key, value in ranks[0][1].items():
        assert value == ranks[1][1][key], key
