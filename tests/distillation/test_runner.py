"""MimicRunner from the config to the student that is handed out."""

import copy
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmdet.apis import inference_detector, init_detector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from processes import Script
from runs import TRAIN

from mmdet_lcp import CompressionError
from mmdet_lcp.distillation.mimic_detector import MimicDetector
from mmdet_lcp.distillation.runner import MimicRunner
from mmdet_lcp.engine.lock import FILE

from .conftest import FIXED, leave_report_out

MMENGINE_EMA = """
custom_hooks = [
    dict(type='mmdet_lcp.DropDegenerateBoxesHook'),
    dict(type='EMAHook', momentum=0.2),
]
"""


@pytest.fixture(scope='module')
def finished(write_student, run_student):
    """(config, runner, student) of a training that has ended."""
    config = write_student('finished')
    return config, *run_student(config, report=True)


@pytest.fixture(scope='module')
def work_dir(finished) -> Path:
    return Path(finished[1].work_dir)


def weights_of(path: Path) -> dict:
    return torch.load(path, weights_only=False)['state_dict']


class TestResult:
    def test_the_student_is_plain(self, finished):
        student = finished[2]
        assert type(student).__module__.startswith('mmdet.')
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in student.modules())

    def test_losses_by_name_in_the_log(self, work_dir):
        (log,) = work_dir.glob('2*/*.log')
        lines = [line for line in log.read_text().splitlines() if 'Epoch(train)' in line]
        assert len(lines) == 6
        values = [float(re.search(r'loss_mimic: ([\d.]+)', line)[1]) for line in lines]
        assert all(value > 0 for value in values)
        assert 'Mimic: neck[0] (16, 16, 16) -> conv -> neck[0] (32, 16, 16)' in log.read_text()

    def test_checkpoints_are_the_students(self, finished, work_dir):
        own = finished[2].state_dict()
        for name in ('epoch_2.pth', 'student.pth'):
            weights = weights_of(work_dir / name)
            assert list(weights) == list(own)
            assert all(torch.equal(value, own[key]) for key, value in weights.items())
        handed_out = torch.load(work_dir / 'student.pth', weights_only=True)
        assert set(handed_out) == {'meta', 'state_dict'}
        assert handed_out['meta']['dataset_meta']['classes'] == tuple('0123456789')

    def test_config_has_nothing_of_mimic(self, work_dir, finished):
        text = (work_dir / 'student_config.py').read_text()
        assert not re.search('mimic', text.replace(str(work_dir.parent), '').lower())
        cfg = Config.fromfile(work_dir / 'student_config.py')
        assert cfg.model == Config.fromfile(finished[0]).model
        assert cfg.load_from == str(work_dir / 'student.pth')
        assert 'runner_type' not in cfg

    @pytest.mark.parametrize(
        'names', [('student_config.py', 'student.pth'), ('finished.py', 'epoch_2.pth')]
    )
    def test_init_detector_opens_it(self, work_dir, finished, data, names):
        detector = init_detector(*(str(work_dir / name) for name in names), device='cpu')
        image = str(sorted((data / 'images' / 'test').iterdir())[0])
        found = inference_detector(detector, image).pred_instances
        student = copy.deepcopy(finished[2]).eval()
        student.cfg = detector.cfg
        expected = inference_detector(student, image).pred_instances
        for key in ('bboxes', 'scores', 'labels'):
            assert torch.equal(found[key], expected[key])

    def test_testing_runs_the_plain_student(self, work_dir, finished):
        """What mmdet's tools/test.py does; the teacher is not even looked for."""
        cfg = Config.fromfile(finished[0])
        cfg.load_from = str(work_dir / 'epoch_2.pth')
        cfg.mimic.teacher.checkpoint = 'nowhere.pth'
        cfg.experiment_name = cfg.visualizer.name = 'testing'
        cfg.work_dir = str(work_dir / 'testing')
        runner = RUNNERS.build(cfg)
        metrics = runner.test()
        assert not isinstance(runner.model, MimicDetector)
        plain = Config.fromfile(work_dir / 'student_config.py')
        plain.experiment_name = plain.visualizer.name = 'plain testing'
        assert Runner.from_cfg(plain).test() == metrics


class TestTraining:
    def test_without_weight_it_is_plain_training(self, write_student, run_student, plain):
        """The teacher changes neither the start nor the images nor their order."""
        config = write_student('light', "mimic['weight'] = 1e-30\n")
        _, student = run_student(config)
        cfg = Config.fromfile(config)
        for key in ('runner_type', 'mimic'):
            cfg.pop(key)
        cfg.work_dir += '_plain'
        cfg.experiment_name = cfg.visualizer.name = 'light plain'
        alone = Runner.from_cfg(cfg)
        alone.train()
        for key, value in alone.model.state_dict().items():
            torch.testing.assert_close(student.state_dict()[key], value, rtol=1e-4, atol=1e-5)

    def test_it_learns_the_teachers_features(self, write_student, run_student):
        """With the mimic loss alone, that loss goes down."""
        extra = (
            "mimic.update(detector_weight=0.0, regions='map', weight=5.0, start='random')\n"
            'train_cfg = dict(max_epochs=8, val_interval=8)\n'
        )
        runner, _ = run_student(write_student('alone', FIXED + extra))
        history = runner.message_hub.get_scalar('train/loss_mimic').data[0]
        assert len(history) == 24
        assert history[-3:].mean() < 0.8 * history[:3].mean()

    def test_from_a_trained_student(self, finished, work_dir, write_student, run_student):
        """Stage 2 starts at stage 1, with transforms that fit."""
        extra = (
            f'load_from = {str(work_dir / "student.pth")!r}\n'
            'optim_wrapper = dict(optimizer=dict(lr=0.0))\n'
            'param_scheduler = None\n'
            'train_cfg = dict(max_epochs=1)\n'
        )
        runner, student = run_student(write_student('second', extra))
        for key, value in finished[2].named_parameters():
            assert torch.equal(student.get_parameter(key), value), key
        (log,) = Path(runner.work_dir).glob('2*/*.log')
        assert "the fitted transforms leave of the teacher's variance: neck[0]" in log.read_text()

    def test_cache(self, write_student, run_student):
        """Two runs that differ in the cache alone end alike."""
        students = {}
        for cache in (None, 'memory', 'disk'):
            extra = FIXED + f"mimic['teacher'].update(cache={cache!r})\n"
            runner, students[cache] = run_student(write_student(f'cache_{cache}', extra))
            (log,) = Path(runner.work_dir).glob('2*/*.log')
            text = log.read_text()
            lines = re.findall(r'ran on (\d+) images, features of (\d+) were kept', text)
            # The fit before the first epoch has seen all six images.
            assert lines == ([('6', '6'), ('0', '6')] if cache else [])
        files = list((Path(runner.work_dir) / 'teacher_features').glob('*/*.pth'))
        assert len(files) == 6
        for cache in ('memory', 'disk'):
            for key, value in students[None].state_dict().items():
                torch.testing.assert_close(students[cache].state_dict()[key], value)


class TestResume:
    def test_goes_on_with_the_transforms_and_their_momentum(
        self, finished, work_dir, run_student, tmp_path, monkeypatch
    ):
        leave_report_out(monkeypatch)
        shutil.copy(work_dir / 'epoch_1.pth', tmp_path)
        saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
        attached = saved['attached_state_dict']
        assert all(key.startswith('attachments.mimic.transforms.') for key in attached)
        seen = {}

        config = finished[0]
        cfg = Config.fromfile(config)
        cfg.update(work_dir=str(tmp_path), resume=True)
        cfg.experiment_name = cfg.visualizer.name = 'resumed'
        (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
        runner = RUNNERS.build(cfg)
        load_or_resume = runner.load_or_resume

        def looked() -> None:
            load_or_resume()
            seen['model'] = copy.deepcopy(runner.model.state_dict())
            seen['optimizer'] = copy.deepcopy(runner.optim_wrapper.state_dict())
            seen['epoch'] = runner.epoch

        runner.load_or_resume = looked
        runner.train()
        assert seen['epoch'] == 1
        for key, value in attached.items():
            assert torch.equal(seen['model'][key], value), key
        for key, value in saved['state_dict'].items():
            assert torch.equal(seen['model'][f'detector.{key}'], value), key
        parameters = len(list(runner.model.parameters()))
        states = seen['optimizer']['state']
        assert len(states) == len(saved['optimizer']['state']) == parameters
        for key, state in saved['optimizer']['state'].items():
            assert torch.equal(states[key]['momentum_buffer'], state['momentum_buffer'])
        assert (tmp_path / 'student.pth').exists()

    def test_from_nothing_begins(self, write_student, finished, work_dir, tmp_path):
        """--resume before there is a checkpoint starts stage 2 where the config says."""
        stage_1 = str(work_dir / 'student.pth')
        cfg = Config.fromfile(write_student('begun', f'load_from = {stage_1!r}\n'))
        cfg.update(work_dir=str(tmp_path), resume=True)
        cfg.experiment_name = cfg.visualizer.name = 'begun'
        runner = RUNNERS.build(cfg)
        assert (runner._resume, runner._load_from) == (False, stage_1)

    def test_killed_from_the_command_line(self, finished, tmp_path):
        work_dir = tmp_path / 'out'
        args = [finished[0], '--work-dir', work_dir, '--resume']
        process = Script(TRAIN, args, tmp_path / '1')
        process.kill_when((work_dir / 'last_checkpoint').exists)
        assert not (work_dir / 'student.pth').exists()
        Script(TRAIN, args, tmp_path / '2').check()
        assert (work_dir / 'student.pth').exists()
        logs = ''.join(path.read_text() for path in sorted(work_dir.glob('2*/*.log')))
        assert 'resumed epoch: 1' in logs
        own = finished[2].state_dict()
        for key, value in weights_of(work_dir / 'student.pth').items():
            assert torch.equal(value, own[key]), key

    def test_average_of_the_weights(self, write_student, run_student):
        """With an EMA hook the average is handed out, and resumed."""
        config = write_student('ema', MMENGINE_EMA)
        runner, student = run_student(config)
        folder = Path(runner.work_dir)
        saved = torch.load(folder / 'epoch_2.pth', weights_only=False)
        assert list(saved['state_dict']) == list(student.state_dict())
        for key, value in weights_of(folder / 'student.pth').items():
            torch.testing.assert_close(value, saved['state_dict'][key])
        raw = saved['ema_state_dict']['module.detector.bbox_head.cls_convs.0.0.weight']
        assert not torch.equal(raw, saved['state_dict']['bbox_head.cls_convs.0.0.weight'])
        shutil.copytree(folder, folder.with_name('ema_again'))
        again = folder.with_name('ema_again')
        (again / 'last_checkpoint').write_text(str(again / 'epoch_1.pth'))
        _, resumed = run_student(config, work_dir=str(again), resume=True)
        assert all(torch.isfinite(v).all() for v in resumed.state_dict().values())


class TestBadInput:
    def test_misspelt_key(self, write_student, run_student):
        config = write_student('misspelt', "mimic['weigth'] = 2\n")
        with pytest.raises(CompressionError, match=r"unknown key 'weigth'.*'weight'"):
            run_student(config)
        assert not Path(Config.fromfile(config).work_dir).exists()

    def test_missing_teacher(self, write_student, run_student):
        extra = "mimic['teacher'].update(checkpoint='nowhere.pth')\n"
        with pytest.raises(CompressionError, match=r"checkpoint='nowhere.pth'.*no such file"):
            run_student(write_student('missing', extra))

    def test_a_loader_without_a_batch(self, write_student, run_student):
        extra = 'train_dataloader = dict(batch_size=32, drop_last=True)\n'
        with pytest.raises(CompressionError, match='train_dataloader yields no batch'):
            run_student(write_student('no_batch', extra))

    def test_strides_that_do_not_fit(self, write_student, run_student):
        extra = "mimic['taps'] = [dict(student='backbone.stage3', teacher='backbone.stage4')]\n"
        with pytest.raises(CompressionError) as caught:
            run_student(write_student('strides', extra))
        for word in ('(16, 16, 16)', '(64, 8, 8)', "transform='resize'"):
            assert word in str(caught.value)

    def test_from_the_command_line(self, write_student, tmp_path):
        config = write_student('command', "mimic['teacher'].update(config='nowhere.py')\n")
        script = Script(TRAIN, [config, '--work-dir', tmp_path / 'out'], tmp_path / 'prints')
        assert script.wait() not in (0, None)
        assert 'Traceback' not in script.err + script.out
        assert 'error: mimic.teacher.config: nowhere.py: there is no such config' in script.err


class TestHalfSize:
    """The student runs on images of half the size; its transform stays in it."""

    HALF = """
def _at(scale, pipeline):
    return [dict(step, scale=(scale, scale)) if step['type'] == 'Resize' else step
            for step in pipeline]

_small = _at(32, _base_.test_pipeline)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet_lcp.UpsampledBackbone',
        backbone=dict(type='mmdet_lcp.NarrowVGG', width_mult=0.125, out_stages=(3, 4)),
        in_channels=(32, 64),
    ),
    neck=dict(in_channels=(32, 64), out_channels=(32, 64, 32)),
    bbox_head=dict(in_channels=(32, 64, 32), anchor_generator=dict(
        strides=[2, 4, 8], min_sizes=[4, 8, 16], max_sizes=[8, 16, 28], input_size=32)),
)
val_dataloader = dict(dataset=dict(pipeline=_small))
test_dataloader = dict(dataset=dict(pipeline=_small))
mimic.update(image_scale=0.5, transform='none')
del _at, _small
"""

    def test_trains_and_opens(self, write_student, run_student, data):
        config = write_student('half', self.HALF)
        runner, student = run_student(config)
        folder = Path(runner.work_dir)
        (log,) = folder.glob('2*/*.log')
        assert 'neck[0] (32, 16, 16) -> none -> neck[0] (32, 16, 16)' in log.read_text()
        weights = weights_of(folder / 'student.pth')
        assert 'backbone.transforms.0.deconv.weight' in weights
        assert list(weights) == list(student.state_dict())
        detector = init_detector(
            str(folder / 'student_config.py'), str(folder / 'student.pth'), device='cpu'
        )
        image = str(sorted((data / 'images' / 'test').iterdir())[0])
        assert len(inference_detector(detector, image).pred_instances) > 0

    def test_its_default_boxes_are_those_of_the_whole(self, write_student, plain):
        """In fractions of the image: the grid is the same, the sizes are half."""
        cfg = Config.fromfile(write_student('half boxes', self.HALF))
        grids = []
        for model, size in ((Config.fromfile(plain).model, 64), (cfg.model, 32)):
            head = MODELS.build(model).bbox_head
            boxes = head.prior_generator.grid_priors([(16, 16), (8, 8), (4, 4)], device='cpu')
            grids.append(torch.cat(boxes) / size)
        torch.testing.assert_close(grids[0], grids[1])


class TestBegin:
    """What is wrong is found before anything is trained."""

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'pruning': dict(ratio=0.5)}, 'the key `pruning`, which MimicRunner does not'),
            ({'mimmic': dict(weight=3.0)}, 'did you mean `mimic`'),
            ({'optim_wrapper.type': 'AmpOptimWrapper'}, 'mixed precision'),
            ({'optim_wrapper.optimizer.type': 'SDG'}, "`optim_wrapper`.*'SGD'"),
            ({'custom_hooks': [dict(type='EMAHok')]}, "hook type='EMAHok'.*'EMAHook'"),
        ],
    )
    def test_mistakes(self, write_student, run_student, tmp_path, options, message):
        with pytest.raises(CompressionError, match=message):
            run_student(write_student('mistaken'), work_dir=str(tmp_path / 'out'), **options)
        assert not (tmp_path / 'out' / 'student.pth').exists()

    def test_another_run_works_there(self, write_student, run_student, tmp_path):
        (tmp_path / FILE).write_text('{"host": "elsewhere", "pid": 7, "began": 0}')
        with pytest.raises(CompressionError, match='process 7 on elsewhere'):
            run_student(write_student('busy'), work_dir=str(tmp_path))

    def test_what_is_handed_out_is_opened_first(
        self, write_student, run_student, tmp_path, monkeypatch
    ):
        def unreadable(*_, **__):
            return Config(dict(model=dict(type='NoSuchDetector')))

        monkeypatch.setattr(MimicRunner, '_student_config', unreadable)
        with pytest.raises(CompressionError, match=r'could not be built.*nothing has been begun'):
            run_student(write_student('unreadable'), work_dir=str(tmp_path))
