"""Configs written in other ways: with objects for types, and with another package's scope."""

from pathlib import Path

import pytest
from mmdet.apis import init_detector
from mmdet.models import SingleStageDetector
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, Registry
from mmengine.runner import Runner
from runs import SEEN_IMAGES, SHORT
from styles import new_style, with_scopes

from mmdet_lcp.comparison import Request, plan_comparison
from mmdet_lcp.config.file import read_config
from mmdet_lcp.config.fingerprint import changes, fingerprint
from mmdet_lcp.config.text import config_text

# Weights that would be fetched, and a function for a type.
OBJECTS = """
from mmengine.model import PretrainedInit
from mmcv.ops import nms
model['backbone']['init_cfg'] = dict(type=PretrainedInit, checkpoint='https://no.where/x.pth')
model['test_cfg'] = dict(nms_pre=50, min_bbox_size=0, score_thr=0.0, max_per_img=20,
                         nms=dict(type=nms, iou_threshold=0.5))
"""
SETS = SHORT.replace('test_dataloader, test_cfg, test_evaluator = None, None, None\n', '')


@pytest.fixture(scope='module')
def objects(write_config) -> Path:
    """A config whose types are classes and functions."""
    old = write_config('objects', SETS + SEEN_IMAGES)
    path = old.with_name('objects_new_style.py')
    path.write_text(new_style(Config.fromfile(old), OBJECTS))
    assert Config._is_lazy_import(str(path))
    return path


class TestNewStyle:
    @pytest.fixture(scope='class')
    def finished(self, objects, prune):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr('mmdet_lcp.engine.finish.write_run_pictures', lambda *_: None)
            return prune(objects)

    def test_the_pruned_config_holds_names(self, finished):
        text = (finished.work_dir / 'pruned_config.py').read_text()
        assert '<' not in text and 'retrained' in text
        assert "type='nms'" in text and 'no.where' not in text
        cfg = Config.fromfile(finished.work_dir / 'pruned_config.py')
        assert cfg.model.detector == 'SingleStageDetector' and cfg.default_scope == 'mmdet'

    def test_mmdet_tests_it(self, finished):
        cfg = Config.fromfile(finished.work_dir / 'pruned_config.py')
        cfg.work_dir = str(finished.work_dir / 'tested')
        cfg.experiment_name = cfg.visualizer.name = 'new_style_tested'
        with DefaultScope.overwrite_default_scope('mmengine'):  # as in a new process
            metrics = Runner.from_cfg(cfg).test()
        expected = finished.report['compressed']['metrics']
        assert metrics == pytest.approx(expected, abs=1e-6) and len(metrics) > 3

    def test_it_is_resumed(self, objects, finished, build):
        runner = build(objects, resume=True)
        runner.require_own_state()
        assert runner.finish.done

    def test_it_is_compared(self, objects):
        request = Request(str(objects), ['l1_norm', 'scratch'], ratios=[0.5])
        cells = plan_comparison(request).cells
        again = plan_comparison(request).cells
        assert [cell.method for cell in cells] == ['l1_norm', 'scratch']
        for cell, other in zip(cells, again, strict=True):
            assert '<' not in config_text(cell.cfg)
            assert not changes(cell.fingerprint, other.fingerprint)

    def test_it_depends_on_the_same_as_in_old_style(self, objects):
        old = Config.fromfile(objects.with_name('objects.py')).to_dict()
        new = read_config(str(objects)).to_dict()
        assert old['model']['backbone'].pop('init_cfg', None) is None
        del new['model']['backbone']['init_cfg'], new['model']['test_cfg']
        old['model'].pop('test_cfg')
        assert not changes(fingerprint(old), fingerprint(new))


class TestAnotherScope:
    """A detector of another package, which mmdet's registry does not know."""

    @pytest.fixture(scope='class', autouse=True)
    def package(self):
        registry = Registry('model', parent=MODELS, scope='myown')
        registry.register_module(name='MyDetector', module=MyDetector)
        yield
        del MODELS.children['myown']

    def test_it_is_pruned_to_the_end(self, write_config, prune, plain_output):
        old = write_config('scopes', SHORT)
        cfg = with_scopes(Config.fromfile(old))
        cfg['default_scope'], cfg['model']['type'] = 'myown', 'MyDetector'
        cfg['work_dir'] += '_own'
        path = old.with_name('scopes_own.py')
        path.write_text(config_text(cfg))
        with DefaultScope.overwrite_default_scope('myown'):
            run = prune(path)
        assert type(run.detector) is MyDetector
        assert run.report['compressed']['params'] < run.report['dense']['params']
        with DefaultScope.overwrite_default_scope('mmengine'):
            detector = init_detector(
                str(run.work_dir / 'pruned_config.py'),
                str(run.work_dir / 'pruned.pth'),
                'random',
                'cpu',
            )
        assert type(detector) is MyDetector


class MyDetector(SingleStageDetector):
    """Somebody's own."""
