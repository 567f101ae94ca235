"""A mistake in config, checkpoint or data is named before anything of value is written."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from runs import SHORT

from mmdet_lcp import CompressionError
from mmdet_lcp.engine.lock import FILE


@pytest.fixture(scope='module')
def config(write_config) -> Path:
    return write_config('bad', SHORT)


@pytest.fixture
def work_dir(tmp_path) -> Path:
    return tmp_path / 'out'


CONFIG_MISTAKES = {
    'no checkpoint': ({'load_from': None}, r'set `load_from` to its checkpoint'),
    'missing checkpoint': ({'load_from': 'nowhere.pth'}, r"load_from='nowhere.pth'.*no such file"),
    'ratio above 1': ({'pruning.ratio': 1.2}, r'pruning.ratio=1.2 .* between 0 and 1'),
    'ratio of 0': ({'pruning.ratio': 0}, r'pruning.ratio=0 .* between 0 and 1'),
    'ratio of 1': ({'pruning.ratio': 1.0}, r'pruning.ratio=1.0 .* between 0 and 1'),
    'ratio of a layer': (
        {'pruning.ratio': {'_delete_': True, 'stage4': 2}},
        r"pruning.ratio\['stage4'\]=2",
    ),
    'ratio in words': ({'pruning.ratio': 'half'}, r"pruning.ratio='half'"),
    'broken regex': ({'pruning.layers': '('}, r"pruning.layers='\('.*not a regular expression"),
    'misspelt key': (
        {'pruning.ration': 0.5},
        r"unknown key 'ration'; the nearest valid one is 'ratio'",
    ),
    'misspelt key of a phase': (
        {'pruning.retrain.max_epoch': 3},
        r"pruning.retrain has an unknown key 'max_epoch'.*'max_epochs'",
    ),
    'misspelt key of the criterion': (
        {'pruning.criterion.greedy_step': 3},
        r"pruning.criterion has an unknown key 'greedy_step'.*'greedy_steps'",
    ),
    'misspelt key of the attachment': (
        {'pruning.attachment.box_wight': 3},
        r"pruning.attachment has an unknown key 'box_wight'.*'box_weight'",
    ),
    'unknown criterion': (
        {'pruning.criterion.type': 'mmdet_lcp.LPC'},
        r"pruning.criterion.type='mmdet_lcp.LPC' is not registered; the nearest is 'LCP'",
    ),
    'unknown step': ({'pruning.evaluate': ['finished']}, r"pruning.evaluate=\['finished'\]"),
    'both lengths': (
        {'pruning.finetune': dict(max_epochs=1, max_iters=1)},
        r'pruning.finetune: give either max_epochs or max_iters',
    ),
    'negative length': (
        {'pruning.retrain': dict(max_epochs=-1)},
        r'pruning.retrain.max_epochs=-1 must be an integer >= 0',
    ),
    'learning rate of 0': (
        {'pruning.retrain': dict(max_epochs=1, lr=0)},
        r'pruning.retrain.lr=0 must be',
    ),
    'learning rate in words': (
        {'pruning.retrain': dict(max_epochs=1, lr='1e-3')},
        r"pruning.retrain.lr='1e-3' must be",
    ),
    'no images': ({'pruning.selection.num_images': 0}, r'pruning.selection.num_images=0'),
    'cache in words': ({'pruning.selection.cache_gb': 'all'}, r"pruning.selection.cache_gb='all'"),
    'layers no pattern': ({'pruning.layers': 4}, r'pruning.layers=4'),
    'stages no numbers': ({'pruning.stages': 4}, r'pruning.stages=4'),
    'mixed precision without a GPU': (
        {'optim_wrapper.type': 'AmpOptimWrapper'},
        r"mixed precision.*optim_wrapper.type='OptimWrapper'",
    ),
    'misspelt key beside the right one': (
        {'prunning.ratio': 0.7},
        r'`prunning`, which nobody reads: did you mean `pruning`',
    ),
    'two detectors': ({'model.type': 'SoftTeacher'}, r'SoftTeacher holds two detectors'),
    'teacher in the wrong place': ({'mimic.weight': 1.0}, r'`pruning.retrain.mimic`'),
    'nothing to measure on': (
        {f'val_{key}': None for key in ('dataloader', 'cfg', 'evaluator')},
        r'neither `val_dataloader` nor `test_dataloader`',
    ),
}


@pytest.mark.parametrize('name', CONFIG_MISTAKES)
def test_mistake_in_the_config(name, config, build, work_dir):
    changes, message = CONFIG_MISTAKES[name]
    with pytest.raises(CompressionError, match=message):
        build(config, work_dir=str(work_dir), **changes)
    assert not work_dir.exists()


def test_misspelt_pruning_key(config, build, work_dir):
    cfg = Config.fromfile(config)
    cfg.work_dir = str(work_dir)
    cfg.prunning = cfg.pop('pruning')
    with pytest.raises(CompressionError, match='Did you mean `prunning` to be `pruning`'):
        RUNNERS.build(cfg)
    assert not work_dir.exists()


class TestFoundBeforeTraining:
    """What only shows with detector and data at hand; the mended config starts afresh."""

    @pytest.fixture
    def fails(self, config, build, work_dir):
        def check(message: str, **changes) -> str:
            runner = build(config, work_dir=str(work_dir), **changes)
            with pytest.raises(CompressionError, match=message) as caught:
                runner.train()
            assert not (work_dir / 'pruning_state').exists()
            return str(caught.value)

        return check

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            (
                {'model.backbone.type': 'mmdet_lcp.NarowVGG'},
                "type='mmdet_lcp.NarowVGG'.*'NarrowVGG'",
            ),
            ({'custom_hooks': [dict(type='EMAHok')]}, "hook type='EMAHok'.*'EMAHook'"),
            (
                {'train_dataloader.dataset.pipeline': [dict(type='Resise')]},
                "transform type='Resise'.*'Resize'",
            ),
            ({'val_evaluator.type': 'CocoMetrik'}, "metric type='CocoMetrik'.*'CocoMetric'"),
            ({'optim_wrapper.optimizer.type': 'SDG'}, "`optim_wrapper`: .*'SDG'.*'SGD'"),
            (
                {'pruning.retrain.param_scheduler': [dict(type='CosineLR')]},
                "`param_scheduler`: .*type='CosineLR'",
            ),
        ],
    )
    def test_what_is_not_registered(self, build, config, work_dir, changes, message):
        with pytest.raises(CompressionError, match=message):
            build(config, work_dir=str(work_dir), **changes).train()
        assert not (work_dir / 'pruning_state').exists()

    def test_another_run_works_there(self, build, config, work_dir, prune, plain_output):
        work_dir.mkdir()
        (work_dir / FILE).write_text('{"host": "elsewhere", "pid": 7, "began": 0}')
        runner = build(config, work_dir=str(work_dir))
        with pytest.raises(CompressionError, match='process 7 on elsewhere'):
            runner.train()
        assert not (work_dir / 'pruning_state').exists()

    def test_another_run_has_begun_meanwhile(self, build, config, work_dir):
        runner = build(config, work_dir=str(work_dir))
        (work_dir / 'pruning_state').mkdir(parents=True)
        (work_dir / 'pruning_state' / 'run.json').write_text('{}')
        with pytest.raises(CompressionError, match='has begun meanwhile'):
            runner.train()

    def test_mended_it_runs(self, fails, prune, config, work_dir, plain_output):
        fails('matches no layer', **{'pruning.layers': 'stage7'})
        assert prune(config, work_dir=str(work_dir)).report['groups']

    def test_regex_without_a_layer(self, fails):
        changes = {'pruning.layers': ['stage4', 'stage7']}
        assert 'backbone.stage1.0.conv' in fails("'stage7' matches no layer", **changes)

    def test_ratio_without_a_layer(self, fails):
        changes = {'pruning.ratio': {'_delete_': True, 'stage7': 0.5}}
        fails("pruning.ratio: 'stage7' matches no layer", **changes)

    def test_stage_that_is_not_there(self, fails):
        changes = {'pruning.layers': '^backbone', 'pruning.stages': [9]}
        fails(r'pruning.stages=\[9\].*has the stages \[1, 2, 3, 4\]', **changes)

    def test_nothing_to_prune(self, fails):
        message = fails('there is nothing to prune', **{'pruning.min_channels': 100})
        assert 'min_channels=100' in message

    def test_checkpoint_of_another_architecture(self, fails):
        message = fails('another architecture', **{'model.bbox_head.num_classes': 3})
        assert 'bbox_head.cls_convs.0.0.weight: (44, 32, 3, 3) in the file' in message
        assert '(16, 32, 3, 3) in the detector' in message

    def test_truncated_checkpoint(self, fails, config, tmp_path):
        content = (config.parent / 'dense.pth').read_bytes()
        path = tmp_path / 'half.pth'
        path.write_bytes(content[: len(content) // 2])
        fails('half.pth: is cut short', load_from=str(path))

    def test_checkpoint_that_would_run_code(self, fails, tmp_path):
        target = tmp_path / 'owned'
        for name, save in (
            ('zip.pth', torch.save),
            ('pickle.pth', lambda data, path: path.write_bytes(pickle.dumps(data))),
        ):
            save({'state_dict': {'weight': Touch(str(target))}}, tmp_path / name)
            message = fails(f'{name}: ', load_from=str(tmp_path / name))
            assert 'Touch' not in message
        assert not target.exists()

    def test_file_that_is_no_checkpoint(self, fails, tmp_path):
        path = tmp_path / 'list.pth'
        torch.save([1, 2], path)
        fails('holds no state_dict', load_from=str(path))
        torch.save({'state_dict': {'weight': 3}}, path)
        fails('list.pth', load_from=str(path))

    @pytest.mark.parametrize('hooks', ['as configured', 'none'])
    def test_empty_training_set(self, fails, tmp_path, data, hooks):
        path = tmp_path / 'empty.json'
        content = json.loads((data / 'annotations/train.json').read_text())
        path.write_text(json.dumps({**content, 'images': [], 'annotations': []}))
        changes = {'train_dataloader.dataset.ann_file': str(path)}
        if hooks == 'none':
            changes['custom_hooks'] = []
        fails(r'CocoDataset has no images: ann_file=.*empty\.json', **changes)

    @pytest.mark.parametrize('name', ['train', 'val'])
    def test_a_loader_without_a_batch(self, fails, name):
        """6 training and 2 validation images."""
        changes = {f'{name}_dataloader.batch_size': 8, f'{name}_dataloader.drop_last': True}
        fails(f'{name}_dataloader yields no batch: .*batch_size=8 and drop_last=True', **changes)

    @pytest.mark.parametrize('name', ['train', 'val'])
    def test_missing_annotations(self, fails, name):
        message = fails(
            f'`{name}_dataloader`.* cannot be read.*absent.json',
            **{f'{name}_dataloader.dataset.ann_file': 'absent.json'},
        )
        assert '\n' not in message

    @pytest.mark.parametrize('name', ['train', 'val'])
    def test_missing_images(self, fails, name):
        fails(
            f'`{name}_dataloader`.* cannot be read.*absent',
            **{f'{name}_dataloader.dataset.data_prefix.img': 'absent/'},
        )

    def test_a_class_that_no_annotation_has(self, fails):
        """mmdet has an IndexError for it, when the first detection of the last class is judged."""
        names = [*'01234567', '9', 'ten']
        keys = [f'{name}_dataloader.dataset.metainfo.classes' for name in ('train', 'val')]
        fails("train.json has no class 'ten'", **dict.fromkeys(keys, names))

    def test_missing_annotations_of_the_evaluator(self, fails):
        fails('`val_evaluator` .*absent', **{'val_evaluator.ann_file': 'absent.json'})


class Touch:
    """Unpickled without a check, it creates a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)
