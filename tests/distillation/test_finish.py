"""The report of a training with a teacher."""

import json
from pathlib import Path

import pytest
import torch
from html_pages import Page
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmdet_lcp.distillation.finish import MimicFinish
from mmdet_lcp.report.report import read_report
from mmdet_lcp.report.run_page import write_run_page

EVERY_EPOCH = 'train_cfg = dict(max_epochs=2, val_interval=1)\n'


def metrics_of(cfg: Config, name: str) -> dict[str, float]:
    """What mmengine's own runner measures, without anything of mimic."""
    cfg.experiment_name = cfg.visualizer.name = name
    return Runner.from_cfg(cfg).test()


@pytest.fixture(scope='module')
def folder(write_student, run_student) -> Path:
    runner, _ = run_student(write_student('reported', EVERY_EPOCH), report=True)
    return Path(runner.work_dir)


class TestReport:
    def test_student_beside_teacher(self, folder, plain):
        report = read_report(folder)
        assert (report.method, report.before, report.after) == ('Mimic', 'teacher', 'student')
        teacher, student = Config.fromfile(plain), Config.fromfile(folder / 'student_config.py')
        teacher.load_from = str(plain.with_name('dense.pth'))
        teacher.work_dir = str(folder.parent / 'teacher_out')
        assert report.dense.metrics == pytest.approx(metrics_of(teacher, 'teacher alone'))
        assert report.compressed.metrics == pytest.approx(metrics_of(student, 'student alone'))
        weights = torch.load(folder / 'student.pth')['state_dict']
        buffers = ('running_mean', 'running_var', 'num_batches_tracked')
        own = sum(v.numel() for k, v in weights.items() if not k.endswith(buffers))
        assert report.compressed.params == own < report.dense.params
        assert report.compressed.macs < report.dense.macs
        assert report.compressed.latency_ms > 0 < report.dense.latency_ms
        assert report.compressed.file_bytes == (folder / 'student.pth').stat().st_size
        assert report.settings['teacher'].startswith(str(plain))
        assert report.settings['training'] == '2 epochs at rate 0.01'

    def test_the_way_there(self, folder):
        report = read_report(folder)
        labels = [report.label_of(step) for step in report.steps]
        assert labels == ['teacher', 'epoch 1, trained', 'epoch 2, trained', 'final']
        # three iterations an epoch, each a piece, since there are so few
        assert [piece.iteration for piece in report.losses] == [1, 2, 3, 4, 5, 6]
        (log,) = folder.glob('2*/vis_data/scalars.json')  # mmengine's own, a line an iteration
        logged = [json.loads(line) for line in log.read_text().splitlines()]
        logged = [line for line in logged if 'loss_mimic' in line]
        for piece, line in zip(report.losses, logged, strict=True):
            assert piece.iteration == line['step'] and set(piece.terms) == {
                'loss_cls',
                'loss_bbox',
                'loss_mimic',
            }
        # its log shows means over a window of all so far
        for term in report.losses[0].terms:
            assert report.losses[0].terms[term] == pytest.approx(logged[0][term], rel=1e-4)

    def test_the_page(self, folder):
        page = Page(folder / 'report.html')
        for words in (
            'Mimic: reported_out',
            'teacher student change',
            'The loss Share of each term',
            'left teacher, right student',
            'student.pth weights of the student, a plain detector',
            f'test.py" {folder}/student_config.py {folder}/student.pth',
            f'mmdet-lcp export {folder}/student_config.py {folder}/student.pth',
        ):
            assert words in page.text, words
        assert 'compressed' not in page.text and 'has not ended' not in page.text
        assert page.tags.count('svg') == 4 and page.tags.count('img') >= 3
        text = (folder / 'report.md').read_text()
        assert '## Losses' in text and '(losses.png)' in text and ' student |' in text
        assert (folder / 'losses.png').exists() and (folder / 'detections.png').exists()

    def test_training_is_the_same_without(self, folder, write_student, run_student):
        """Measuring the teacher leaves random numbers where they were."""
        runner, _ = run_student(write_student('unreported', EVERY_EPOCH))
        own, other = (
            torch.load(Path(path) / 'student.pth')['state_dict']
            for path in (folder, runner.work_dir)
        )
        for key, value in own.items():
            assert torch.equal(other[key], value), key


class TestStopped:
    def test_its_page_says_so_and_it_goes_on(self, write_student, run_student, monkeypatch):
        config = write_student('stopped', EVERY_EPOCH)
        measured = []
        measure = MimicFinish.measure_dense
        monkeypatch.setattr(
            MimicFinish, 'measure_dense', lambda self: measured.append(1) or measure(self)
        )

        def die(hook, runner, **_):
            if runner.epoch == 1:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr('mmdet_lcp.engine.finite_loss.FiniteLossHook.before_train_iter', die)
            with pytest.raises(KeyboardInterrupt):
                run_student(config, report=True)
        folder = Path(Config.fromfile(config).work_dir)
        assert not (folder / 'report.json').exists()
        page = Page(write_run_page(folder))
        assert '1 of 2 epochs are done' in page.text and 'stopped half-way' in page.text
        assert 'teacher pascal_voc' in page.text or 'teacher coco' in page.text
        assert 'epoch 1, trained' in page.text and 'The loss' in page.text

        cfg = Config.fromfile(config)
        cfg.resume = True
        cfg.experiment_name = cfg.visualizer.name = 'stopped, again'
        RUNNERS.build(cfg).train()
        report = read_report(folder)
        assert len(measured) == 1
        assert [report.label_of(step) for step in report.steps] == [
            'teacher',
            'epoch 1, trained',
            'epoch 2, trained',
            'final',
        ]
        assert [piece.iteration for piece in report.losses] == [1, 2, 3, 4, 5, 6]
        assert not (folder / 'mimic_state' / 'so_far.json').exists()
        assert 'has not ended' not in Page(folder / 'report.html').text


class TestTeacherThatCannotBeJudged:
    @pytest.fixture
    def finish(self, detectors):
        """A finish of nothing but what is asked."""
        student, teacher = detectors
        finish = MimicFinish.__new__(MimicFinish)
        finish.dense_detector, finish.student, finish.image_size = teacher, student, (64, 64)
        names = tuple('0123456789')
        loader = Bare(dataset=Bare(metainfo=dict(classes=names)))
        finish.runner = Bare(train_dataloader=loader)
        finish.setup = Bare(taught=names, config=Bare(image_scale=1.0))
        return finish

    def test_it_can(self, finish):
        assert finish._cannot_be_judged() == ''
        finish.setup.taught = None  # a checkpoint that tells of no names
        assert finish._cannot_be_judged() == ''

    def test_larger_images(self, finish):
        finish.setup.config.image_scale = 0.5
        assert finish.size_of(finish.dense_detector) == (128, 128)
        assert finish.size_of(finish.student) == (64, 64)
        assert 'size of the student' in finish._cannot_be_judged()

    def test_other_classes(self, finish):
        finish.setup.taught = list('9876543210')
        assert 'in another order' in finish._cannot_be_judged()

    def test_an_evaluation_that_fails_does_not_end_the_training(self, write_student, run_student):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr('mmdet_lcp.engine.finish.Finish.metrics', _no_masks)
            runner, _ = run_student(write_student('unjudged'), report=True)
        report = read_report(runner.work_dir)
        assert report.notes[0] == (
            "The teacher was not evaluated, and is in no picture: KeyError: 'masks'."
        )
        assert not report.dense.metrics and report.dense.params > report.compressed.params
        assert report.compressed.metrics == {'coco/bbox_mAP': 0.25}
        assert not (Path(runner.work_dir) / 'detections.png').exists()


def _no_masks(finish, detector, *_) -> dict[str, float]:
    if detector is finish.dense_detector:
        raise KeyError('masks')
    return {'coco/bbox_mAP': 0.25}


class Bare:
    """Attributes, and nothing else."""

    def __init__(self, **attributes) -> None:
        self.__dict__.update(attributes)
