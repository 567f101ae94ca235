"""Comparisons that were never run, for the tables and pictures of them."""

from mmdet_lcp.comparison.results.comparison import CellResult, Comparison

MAP, AP50, AP75 = 'pascal_voc/mAP', 'pascal_voc/AP50', 'pascal_voc/AP75'
COCO = 'coco/bbox_mAP'


def metrics(value: float) -> dict:
    return {MAP: value, AP50: value + 0.2, AP75: value - 0.1}


def pruned(method: str, seed: int, value: float, ratio=0.5, **changes) -> CellResult:
    """A run that has ended, with a quarter of the dense detector's cost."""
    facts = dict(
        update='NoUpdate',
        state='finished',
        iterations='6',
        dense=metrics(0.6),
        selected=metrics(value - 0.1),
        final=metrics(value),
        params=500_000,
        macs=150_000_000,
        dense_params=2_000_000,
        dense_macs=600_000_000,
        seconds_selection=2.0,
        seconds=100.0,
    )
    return CellResult(method, ratio, seed, **(facts | changes))


def control(method: str, seed: int = 0, **changes) -> CellResult:
    facts = dict(
        state='finished',
        iterations='6',
        final=metrics(0.3),
        params=500_000,
        macs=150_000_000,
        seconds=7.0,
    )
    return CellResult(method, 0.5, seed, **(facts | changes))


def of(*cells: CellResult, **about) -> Comparison:
    return Comparison(list(cells), list(dict.fromkeys(cell.method for cell in cells)), **about)


def three_methods() -> Comparison:
    """lcp with 3 seeds, l1 with 2 of 3 (the third failed), a control that is shared."""
    return of(
        *(pruned('lcp', seed, value) for seed, value in enumerate((0.40, 0.42, 0.47))),
        *(pruned('l1', seed, value, seconds=50.0) for seed, value in enumerate((0.50, 0.44))),
        CellResult('l1', 0.5, 2, 'NoUpdate', 'failed', '6'),
        control('scratch'),
        CellResult('scratch', 0.5, 1, iterations='6'),
        control('uniform', same_as='scratch_r0.5_s0'),
        command='compare',
        config='c.py',
    )
