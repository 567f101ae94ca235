"""The pictures that a run leaves of its detections: for the eye, and for its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from mmdet_lcp.datasets.label_names import label_meta
from mmdet_lcp.report.mistakes import Mistakes, worst_images
from mmdet_lcp.report.painter import Painter
from mmdet_lcp.report.pictures import NUM_IMAGES, SCORE_THR, draw_side_by_side
from mmdet_lcp.report.report import DETECTIONS_PNG
from mmdet_lcp.report.seen_images import over_the_set, see
from mmdet_lcp.report.stored_pictures import store_pictures


def write_run_pictures(
    dense: nn.Module,
    compressed: nn.Module,
    dataset: Sequence,
    work_dir: Path,
    before: str,
    counts: tuple[dict[str, Mistakes], dict[str, Mistakes]],
    after: str = 'compressed',
) -> None:
    """Write ``detections.png`` and the folder of single pictures.

    Args:
        dense: The detector before.
        compressed: The one after.
        dataset: The test set.
        work_dir: Of the run.
        before: What the first detector is called.
        counts: Mistakes by image, as `worst_images` takes them.
        after: What the second detector is called.
    """
    seen = see(dense, compressed, dataset, over_the_set(dataset, NUM_IMAGES))
    than = 'before' if after == 'compressed' else f'of the {before}'
    worst = worst_images(dense, compressed, dataset, counts, SCORE_THR, NUM_IMAGES, than)
    painter = Painter(label_meta(dataset) or getattr(dense, 'dataset_meta', None) or {})
    draw_side_by_side(seen, painter, work_dir / DETECTIONS_PNG, before, after=after)
    store_pictures([*seen, *worst], painter, work_dir)
