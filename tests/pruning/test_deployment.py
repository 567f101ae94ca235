"""The pruned detector is plain mmdet: mmdet's own functions and tools take it as it is."""

import json
from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmengine.analysis.print_helper import _format_size
from mmengine.config import Config
from processes import Script
from runs import ROOT

from mmdet_lcp.graph import Plan

TOOLS = Path(mmdet.__file__).parent / '.mim' / 'tools'


@pytest.fixture
def tool(tmp_path):
    """Run one of mmdet's tools in a process that has not imported mmdet_lcp; what it printed."""

    def run(name: str, *args) -> str:
        script = Script(TOOLS / name, list(args), tmp_path / 'prints')
        script.check()
        return script.out + script.err

    return run


@pytest.fixture(scope='module')
def files(finished) -> list[Path]:
    return [finished.work_dir / 'pruned_config.py', finished.work_dir / 'pruned.pth']


@pytest.fixture(scope='module')
def image(data) -> str:
    return str(sorted((data / 'images' / 'test').iterdir())[0])


class TestInPython:
    def test_init_detector(self, files, finished, image):
        detector = init_detector(*map(str, files), device='cpu')
        assert type(detector).__name__ == 'SingleStageDetector'
        assert type(detector).__module__.startswith('mmdet.')
        assert detector.dataset_meta['classes'] == tuple('0123456789')
        result = inference_detector(detector, image).pred_instances
        assert len(result) > 0
        finished.detector.cfg = detector.cfg
        own = inference_detector(finished.detector, image).pred_instances
        for key in ('bboxes', 'scores', 'labels'):
            assert torch.equal(result[key], own[key]), key

    def test_inferencer(self, files, image):
        inferencer = DetInferencer(str(files[0]), str(files[1]), device='cpu')
        (result,) = inferencer(image, no_save_vis=True)['predictions']
        detector = init_detector(*map(str, files), device='cpu')
        expected = inference_detector(detector, image).pred_instances
        assert result['labels'] == expected.labels.tolist()
        assert result['scores'] == pytest.approx(expected.scores.tolist(), abs=1e-6)


class TestTools:
    def test_test(self, tool, files, finished, tmp_path):
        printed = tool('test.py', *files, '--work-dir', tmp_path / 'test')
        metrics = finished.report['compressed']['metrics']
        assert metrics['coco/bbox_mAP_50'] > 0  # or the comparison would say nothing
        for key, value in metrics.items():
            assert f'{key}: {value:.4f}' in printed
        (written,) = (tmp_path / 'test').glob('2*/*.json')
        found = json.loads(written.read_text())
        assert {key: found[key] for key in metrics} == metrics

    def test_get_flops(self, tool, files, finished):
        printed = tool('analysis_tools/get_flops.py', files[0])
        compressed = finished.report['compressed']
        assert f'Flops: {_format_size(compressed["macs"])}\n' in printed
        assert f'Params: {_format_size(compressed["params"])}\n' in printed

    def test_train_goes_on_from_the_pruned_weights(self, tool, files, finished, tmp_path):
        options = [
            'train_cfg.max_epochs=1',
            'optim_wrapper.optimizer.lr=1e-9',
            'param_scheduler=None',
        ]
        work_dir = tmp_path / 'more'
        tool('train.py', files[0], '--work-dir', work_dir, '--cfg-options', *options)
        trained = torch.load(work_dir / 'epoch_1.pth', weights_only=True)['state_dict']
        assert trained.keys() == finished.weights.keys()
        for key, value in finished.weights.items():
            assert trained[key].shape == value.shape
            if 'running' not in key and 'num_batches' not in key:
                torch.testing.assert_close(trained[key], value, atol=1e-5, rtol=1e-5)

    def test_train_runs_the_pruning_config(self, tool, finished, tmp_path):
        work_dir = tmp_path / 'pruned'
        tool('train.py', finished.config, '--work-dir', work_dir)
        plans = [(folder / 'plan.json').read_bytes() for folder in (finished.work_dir, work_dir)]
        assert plans[0] == plans[1]


@pytest.fixture(scope='module')
def second(finished, prune, tmp_path_factory):
    """The pruned detector, pruned again."""
    folder = tmp_path_factory.mktemp('second')
    config = folder / 'second.py'
    config.write_text(
        f"""
_base_ = [{str(finished.work_dir / 'pruned_config.py')!r},
          {str(ROOT / 'configs/_base_/pruning/lcp.py')!r}]
work_dir = {str(folder / 'out')!r}
pruning = dict(
    layers=r'stage4\\.[01]\\.conv|stage3\\.2\\.conv',
    ratio=0.25,
    selection=dict(num_images=2),
    finetune=dict(max_epochs=None, max_iters=1, lr=0.001, param_scheduler=None),
    retrain=dict(max_epochs=0),
)
"""
    )
    return prune(config)


class TestSecondPruning:
    def test_begins_where_the_first_ended(self, second, finished):
        first, again = finished.report, second.report
        assert again['dense']['metrics'] == first['compressed']['metrics']
        assert again['dense']['params'] == first['compressed']['params']
        kept = {group['name']: (group['total'], group['kept']) for group in again['groups']}
        assert kept['backbone.stage4.0.conv'] == (32, 24)
        assert kept['backbone.stage4.1.conv'] == (32, 24)

    def test_its_files_rebuild_it(self, second, image):
        files = [second.work_dir / 'pruned_config.py', second.work_dir / 'pruned.pth']
        detector = init_detector(*map(str, files), device='cpu')
        assert detector.backbone.stage4[0].conv.out_channels == 24
        result = inference_detector(detector, image).pred_instances
        second.detector.cfg = detector.cfg
        own = inference_detector(second.detector, image).pred_instances
        assert torch.equal(result.bboxes, own.bboxes)
        assert detector.cfg.model.detector == 'SingleStageDetector'

    def test_its_plan_counts_on_the_unpruned_detector(self, second, finished):
        cfg = second.runner.cfg
        assert cfg.model.type == 'mmdet_lcp.PrunedDetector'
        whole = Config.fromfile(second.work_dir / 'pruned_config.py').model.plan
        name = 'backbone.stage4.0.conv'
        first, both = (
            Plan.from_dict(plan).modules[name]['out_channels'] for plan in (finished.plan, whole)
        )
        assert first.total == both.total == 64
        assert len(both.keep) == 24 and set(both.keep) < set(first.keep)
