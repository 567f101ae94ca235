"""A hook that tells how often the teacher ran, where its features are kept."""

from typing import Any

from mmengine.hooks import Hook

from mmdet_lcp.distillation.mimic_teacher import Teacher


class TeacherCountHook(Hook):
    """Logs after every epoch how many images the teacher ran on and how many were at hand.

    Args:
        teacher: it counts.
    """

    priority = 'LOW'

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    def after_train_epoch(self, runner: Any) -> None:
        """Tell, and count anew."""
        teacher = self.teacher
        if teacher.cache is None:
            return
        runner.logger.info(
            f'Teacher: ran on {teacher.images_run} images, features of '
            f'{teacher.images_cached} were kept'
            + (' (mimic.teacher.cache_gb is used up)' if teacher.cache.full else '')
        )
        teacher.images_run = teacher.images_cached = 0
