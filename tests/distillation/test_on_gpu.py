"""A student and its teacher on a GPU that is none (tests/fake_gpu.py)."""

from .conftest import FIXED


def test_mimic(write_student, run_student, gpu):
    cached = FIXED + "mimic['teacher'].update(cache='memory')\n"
    _, student = run_student(write_student('gpu', cached), **{'train_cfg.max_epochs': 2})
    assert {value.device.type for value in student.state_dict().values()} == {'cuda'}
