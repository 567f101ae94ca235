"""Write report.html: all that is known of a run, a chain or a comparison, on one page.

mmdet-lcp report work_dirs/my_ssd300_pruned

The page is one file that needs nothing else: open it from disk, send it to somebody. A run writes
it when it ends; this writes it again, and also for a run that is under way or was stopped, with
what there is so far. Of a chain or a comparison, the pages of its runs that have none are written
too.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmdet_lcp import CompressionError
from mmdet_lcp.comparison.results.comparison import CELLS, read_comparison
from mmdet_lcp.comparison.results.page import write_comparison_page
from mmdet_lcp.report.chain_page import is_chain, write_chain_page
from mmdet_lcp.report.report import REPORT_HTML
from mmdet_lcp.report.run_page import is_run, write_run_page


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'folders', nargs='+', metavar='DIR', help='work_dir of a run or a chain, or a comparison'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Write a page for each folder."""
    args = parse_args(argv)
    for folder in map(Path, args.folders):
        try:
            print(write_report_page(folder))
        except CompressionError as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
    return 0


def write_report_page(folder: Path) -> Path:
    """Write the page of whatever lies in a folder; returns its path.

    Raises:
        CompressionError: there is nothing to report, or a file is damaged.
    """
    if (folder / CELLS).is_dir():
        comparison = read_comparison(folder)
        _write_missing({cell.run_dir for cell in comparison.cells})
        return write_comparison_page(comparison, folder)
    if is_chain(folder):
        _write_missing(path for path in folder.iterdir() if path.is_dir())
        return write_chain_page(folder)
    return write_run_page(folder)


def _write_missing(runs: Iterable[str | Path]) -> None:
    """Write the pages of runs that have none."""
    for run in map(Path, runs):
        if is_run(run) and not (run / REPORT_HTML).exists():
            write_run_page(run)
