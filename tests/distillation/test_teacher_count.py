"""How often the teacher ran is told after each epoch, and counted anew."""

from types import SimpleNamespace

import pytest

from mmdet_lcp.distillation.teacher_count import TeacherCountHook


def teacher(cache) -> SimpleNamespace:
    return SimpleNamespace(cache=cache, images_run=5, images_cached=7)


def told(teacher) -> list[str]:
    lines: list[str] = []
    runner = SimpleNamespace(logger=SimpleNamespace(info=lines.append))
    TeacherCountHook(teacher).after_train_epoch(runner)
    return lines


@pytest.mark.parametrize('full', [False, True])
def test_told_once_an_epoch(full):
    counted = teacher(SimpleNamespace(full=full))
    (line,) = told(counted)
    assert line.startswith('Teacher: ran on 5 images, features of 7 were kept')
    assert ('mimic.teacher.cache_gb is used up' in line) == full
    assert (counted.images_run, counted.images_cached) == (0, 0)


def test_silent_where_nothing_is_kept():
    counted = teacher(None)
    assert told(counted) == []
    assert (counted.images_run, counted.images_cached) == (5, 7)
