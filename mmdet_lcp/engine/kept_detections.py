"""A run that keeps what its detectors find on the test images, for intervals of its figures.

The key `keep_detections` at the top of a config asks for it; ``mmdet-lcp compare`` sets it in all
its runs. It decides nothing of what a run does.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from mmdet_lcp.config.top_level import KEEP_DETECTIONS
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.measure.image_matches import file_of, noted_matches


def keeps_detections(cfg: Mapping[str, Any]) -> bool:
    """Whether a config asks for them."""
    return bool(cfg.get(KEEP_DETECTIONS))


@contextlib.contextmanager
def kept_detections(runner: Any, moment: str) -> Iterator[None]:
    """Write down what is found in the evaluation within, where the config asks for it.

    Metrics other than mmdet's ``CocoMetric`` for boxes leave nothing to write, which is told.

    Args:
        runner: evaluates a detector once within.
        moment: as `file_of` takes it.
    """
    if not keeps_detections(getattr(runner, 'cfg', None) or {}):
        yield
        return
    with noted_matches() as found:
        yield

    def write() -> None:
        if found:
            found[-1].save(file_of(runner.work_dir, moment))
        else:
            runner.logger.info(
                f'{KEEP_DETECTIONS}: nothing is kept: intervals need a CocoMetric that evaluates '
                'boxes, and data in the format of COCO'
            )

    on_main(write)
