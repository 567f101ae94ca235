"""The support table's tool on one tiny detector: what it tries, notices, writes, goes on with."""

import json
from collections.abc import Callable
from pathlib import Path

import detectors
import pytest
import tiny
import torch
from comparisons import load_tool
from mmengine.config import Config

from mmdet_lcp.coverage import DETECTORS, SupportedDetector, Trial, bench, criteria, rows, trial
from mmdet_lcp.coverage.detectors import few_regions, plain_model
from mmdet_lcp.coverage.page import failed
from mmdet_lcp.graph import ChannelGroup, Plan

tool = load_tool('support_table')
CRITERIA = ['LCP, exact', 'BN scale', 'L1']
STEPS = {'masked', 'loss', 'reloaded', 'again', 'again reloaded'}


def write(folder: Path, family: str) -> str:
    """A config file of a tiny detector, with all that mmdet's has beside its model."""
    name, _ = detectors.FAMILIES[family]
    cfg = Config.fromstring(f"_base_ = 'mmdet::{name}'", '.py')
    cfg.model = detectors.tiny_model(family)
    path = folder / f'tiny_{family}.py'
    path.write_text(cfg.pretty_text)
    return str(path)


def closed(name: str) -> ChannelGroup:
    """A group that cannot be pruned."""
    return ChannelGroup(name, 8, (), (), (), 'no layer reads it')


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('support')


@pytest.fixture(scope='module')
def arguments(folder) -> list[str]:
    return [
        '--detectors', write(folder, 'mask_rcnn'), '--size', '64', '--criteria', *CRITERIA,
        '--out', str(folder / 'out'), '--page', str(folder / 'support.md'),
    ]  # fmt: skip


@pytest.fixture(scope='module')
def finished(arguments, folder) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(criteria, 'LARGE', 400)  # less than 64 channels under a 3x3 kernel
        assert tool.main(arguments) == 0
    return json.loads((folder / 'out' / 'tiny-mask-rcnn.json').read_text())


def test_everything_works(finished):
    assert finished['failures'] == {}
    differences = {key: value for key, value in finished['differences'].items() if key in STEPS}
    assert set(differences) == STEPS
    assert all(value <= 1e-5 for value in differences.values())
    assert finished['loss'] > 0
    left_alone = sum(len(names) for names in finished['obstacles'].values())
    assert sum(finished['pruned'].values()) + left_alone == finished['groups']
    assert set(finished['pruned']) == {'single', 'coupled', 'shared', 'coupled + shared'}


def test_parameters(finished):
    """Of a layer between two pruned ones a quarter is left, so of all between that and a half."""
    dense, once, twice = finished['params']
    assert dense == sum(p.numel() for p in detectors.tiny_detector('mask_rcnn').parameters())
    assert dense / 4 < once < dense / 2
    assert once / 4 < twice < once / 2


def test_what_a_criterion_cannot_do_is_told(finished):
    """Mask R-CNN's head has a transposed convolution, and layers without batch norm."""
    tried = finished['criteria']
    assert list(tried) == CRITERIA
    for found in tried.values():
        assert found['groups'] > 1 and found['failures'] == {}
    ((reason, names),) = tried['LCP, exact']['left_out'].items()
    assert 'roi_head.mask_head.upsample is ConvTranspose2d' in reason
    assert names == ['roi_head.mask_head.convs.3.conv']  # the layer before it
    ((reason, names),) = tried['BN scale']['left_out'].items()
    assert 'batch norm' in reason and not any(name.startswith('backbone') for name in names)
    assert tried['L1']['left_out'] == {}
    assert 0 < tried['LCP, exact']['narrow'] < tried['LCP, exact']['groups']
    assert tried['L1']['narrow'] == 0


def test_the_page_of_a_run(finished, folder):
    page = (folder / 'support.md').read_text()
    assert 'fails' not in page.partition('## What is left alone')[0].partition('| detector')[2]
    assert 'left alone, "its channels are the detector\'s outputs": `rpn_head.rpn_cls`' in page
    assert '- **LCP, exact**: not on 1 group, "' in page


def test_it_goes_on(arguments, folder, finished, monkeypatch, capsys):
    begun = []
    monkeypatch.setattr(rows, '_RowProcess', begun.append)
    assert tool.main(arguments) == 0
    assert not begun  # nothing is left to try
    assert '1 of 1 detectors are up to date' in capsys.readouterr().out
    (folder / 'out' / 'tiny-mask-rcnn.json').write_text('{"name": 1}')
    assert tool.main(arguments) == 1
    assert 'tiny-mask-rcnn.json is damaged' in capsys.readouterr().err


class TestWhatGoesWrong:
    """Each step with a mistake in it."""

    @pytest.fixture(scope='class')
    def spec(self, folder) -> SupportedDetector:
        config = tiny.make_config(folder / 'ssd', folder / 'no data', 'ssd')
        return SupportedDetector.of_file(str(config), tiny.SIZE)

    @pytest.fixture
    def failures(self, spec, monkeypatch) -> Callable[..., dict[str, str]]:
        def run(name: str, wrong: Callable, methods: tuple[str, ...] = ()) -> dict[str, str]:
            for module in (trial, bench):
                monkeypatch.setattr(module, name, wrong, raising=False)
            self.facts = Trial(spec, methods).run()
            return self.facts.failures

        return run

    def test_other_channels_are_removed_than_zeroed(self, failures):
        mask_plan = trial.mask_plan
        found = failures('mask_plan', lambda detector, plan: mask_plan(detector, Plan()))
        assert found['pruned'].startswith('the outputs differ by')
        assert self.facts.differences['masked'] > 1e-2
        assert self.facts.loss is None  # what comes after it is not tried

    def test_nothing_can_be_pruned(self, failures):
        groups = [closed('conv1'), closed('conv2')]
        found = failures('find_groups', lambda *_: groups)
        assert found == {'traced': 'none of its groups can be pruned'}
        assert self.facts.obstacles == {'no layer reads it': ['conv1', 'conv2']}

    def test_other_weights_are_saved(self, failures):
        deliver = trial.deliver

        def rounds(cfg, detector, *args):
            with torch.no_grad():
                weight = next(detector.parameters())
                kept = weight.clone()
                weight.mul_(1.01)
                deliver(cfg, detector, *args)
                weight.copy_(kept)

        found = failures('deliver', rounds)
        assert found['reloaded'].startswith('the outputs differ by')

    def test_training_diverges(self, failures):
        def infinite(detector, images):
            return sum(p.sum() for p in detector.parameters()) * torch.inf

        assert 'not finite' in failures('training_loss', infinite)['trained']

    def test_a_criterion_breaks(self, failures):
        """The next one is tried all the same."""
        works = trial.try_criterion

        def breaks(name, *args):
            return works(name, *args) if name == 'L1' else 1 / 0

        assert failures('try_criterion', breaks, ('L2', 'L1')) == {}
        assert self.facts.criteria['L2'].failures == {'all groups': 'division by zero'}
        assert self.facts.criteria['L1'].failures == {}
        assert failed(self.facts)


class TestBadInput:
    def test_wrong_names(self, tmp_path, capsys):
        assert tool.main(['--detectors', 'yolo-9000', '--out', str(tmp_path)]) == 1
        assert 'none of ssd300' in capsys.readouterr().err
        with pytest.raises(SystemExit):
            tool.main(['--criteria', 'L3'])

    def test_a_config_that_is_not_there(self, tmp_path):
        assert tool.main(['--detectors', 'no_such.py', '--out', str(tmp_path)]) == 1
        page = (tmp_path / 'support.md').read_text()
        assert '**traced fails**: no_such.py: there is no such config' in page
        assert '| no_such ' in page

    def test_help(self, capsys):
        with pytest.raises(SystemExit) as ended:
            tool.main(['--help'])
        assert ended.value.code == 0
        printed = capsys.readouterr().out
        assert 'faster-r-cnn-r50-fpn' in printed and 'Group Fisher' in printed


def test_every_detector_can_be_read():
    assert len({detector.key for detector in DETECTORS}) == len(DETECTORS) == 14
    for detector in DETECTORS:
        model = detector.read().model
        assert model.type and 'init_cfg' not in model.backbone


def test_a_model_that_needs_no_download_and_no_gpu():
    init = dict(type='Pretrained', checkpoint='torchvision://resnet50')
    model = dict(backbone=dict(norm_cfg=dict(type='SyncBN'), init_cfg=init), heads=[init, (1, 2)])
    norm = 'SyncBN' if torch.cuda.is_available() else 'BN'
    assert plain_model(model) == dict(
        backbone=dict(norm_cfg=dict(type=norm)), heads=[init, (1, 2)]
    )


def test_heads_train_on_few_regions():
    stages = [dict(sampler=dict(num=num, pos_fraction=0.25)) for num in (512, 4)]
    found = few_regions(dict(train_cfg=dict(rpn=dict(sampler=dict(num=256)), rcnn=stages)))
    assert [stage['sampler']['num'] for stage in found['train_cfg']['rcnn']] == [16, 4]
    assert found['train_cfg']['rpn']['sampler']['num'] == 256
    single = few_regions(dict(train_cfg=dict(rcnn=dict(sampler=dict(num=128)))))
    assert single['train_cfg']['rcnn']['sampler']['num'] == 16
    assert few_regions(dict(type='FCOS', train_cfg=None)) == dict(type='FCOS', train_cfg=None)
