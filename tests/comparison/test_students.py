"""How runs of students are laid out; what comes of them is told by tools/compare_students.py."""

from pathlib import Path

import pytest
from comparisons import ROOT

from mmdet_lcp.comparison.students import plan_students
from mmdet_lcp.errors import CompressionError

PLAIN = str(ROOT / 'configs' / 'ssd' / 'ssd_narrow_vgg_digits.py')
TAUGHT = """
_base_ = [{plain!r}, {fragment!r}]
mimic = dict(teacher=dict(config={plain!r}, checkpoint='teacher.pth'))
"""


def write(folder: Path, name: str, text: str) -> str:
    path = folder / f'{name}.py'
    path.write_text(text)
    return str(path)


@pytest.fixture
def taught(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path('teacher.pth').touch()
    fragment = str(ROOT / 'configs' / '_base_' / 'distill' / 'mimic.py')
    return write(tmp_path, 'taught', TAUGHT.format(plain=PLAIN, fragment=fragment))


def test_a_cell_for_each_seed_of_each_config(taught):
    options = {'train_cfg.max_epochs': 3}
    plan = plan_students([PLAIN, taught], [7, 2], options)
    assert [(cell.method, cell.seed) for cell in plan.cells] == [
        ('ssd_narrow_vgg_digits', 7),
        ('taught', 7),
        ('ssd_narrow_vgg_digits', 2),
        ('taught', 2),
    ]
    for cell in plan.cells:
        assert cell.cfg['randomness']['seed'] == cell.seed
        assert cell.cfg['train_cfg']['max_epochs'] == cell.total == 3
        assert cell.ratio == 'config'


def test_a_cell_can_be_run_from_anywhere(taught, tmp_path):
    (cell,) = plan_students([taught], [0]).cells
    assert cell.cfg['mimic']['teacher']['checkpoint'] == str(tmp_path / 'teacher.pth')
    assert 'work_dir' not in cell.cfg and 'resume' not in cell.cfg


def test_a_missing_teacher_is_told_before_anything_runs(taught):
    Path('teacher.pth').unlink()
    with pytest.raises(CompressionError, match='train the teacher first, or name it with'):
        plan_students([taught], [0])


@pytest.mark.parametrize(
    ('configs', 'seeds', 'words'),
    [
        ([], [0], 'name at least one config and one seed'),
        ([PLAIN], [], 'name at least one config and one seed'),
        ([PLAIN], [-1], 'name at least one config and one seed, 0 or above'),
        ([PLAIN, PLAIN], [0], 'configs: one is named twice'),
        ([PLAIN], [1, 1], '--seeds: one is named twice: 1, 1'),
    ],
)
def test_bad_input(configs, seeds, words):
    with pytest.raises(CompressionError, match=words):
        plan_students(configs, seeds)


def test_without_a_number_of_epochs(tmp_path):
    text = f"_base_ = {PLAIN!r}\ntrain_cfg = dict(_delete_=True, type='IterBasedTrainLoop')\n"
    path = write(tmp_path, 'by_iterations', text)
    with pytest.raises(CompressionError, match=r'by_iterations\.py has no train_cfg\.max_epochs'):
        plan_students([path], [0])
