"""Put several comparisons into one table: what `mmdet-lcp compare` has written at different times.

A method that wants options of its own (--cfg-options) is compared in a folder of its own, since
`mmdet-lcp compare` keeps one set of options a folder. This puts such folders together again. A
SOURCE is the folder of a comparison, finished or not, or the table.csv of one.

mmdet-lcp merge-comparisons work_dirs/compare work_dirs/compare_dcp --out work_dirs/all
mmdet-lcp merge-comparisons results/earlier.csv work_dirs/compare --out work_dirs/all

DIR/summary.md has all ratios in one table, best first; table.md, table.csv, map_vs_macs.png and
report.html are those of `mmdet-lcp compare`. Sources that disagree (the same run with another
result, another dense detector) are refused.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmdet_lcp import CompressionError
from mmdet_lcp.comparison.results.comparison import CELLS, Comparison, read_comparison
from mmdet_lcp.comparison.results.csv_table import read_comparison_csv
from mmdet_lcp.comparison.results.intervals import DENSE
from mmdet_lcp.comparison.results.merge import merged
from mmdet_lcp.comparison.results.page import write_comparison_page
from mmdet_lcp.comparison.results.pictures import draw_comparison
from mmdet_lcp.comparison.results.summary import SUMMARY_MD, comparison_summary
from mmdet_lcp.comparison.results.tables import write_tables
from mmdet_lcp.files import write_text


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'sources', nargs='+', metavar='SOURCE', help='folder of a comparison, or its table.csv'
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='where the tables go')
    parser.add_argument(
        '--against',
        default='',
        metavar='METHOD',
        help='the method that the others are compared with, or dense (the first unless told)',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Read, merge, write."""
    args = parse_args(argv)
    out = Path(args.out)
    try:
        if (out / CELLS).exists():
            raise CompressionError(
                f'--out {out} is a comparison itself, whose tables would be written over: choose '
                'another folder'
            )
        whole = merged({source: _read(Path(source)) for source in args.sources})
        if args.against and args.against not in (known := [*whole.methods, DENSE]):
            raise CompressionError(
                f'--against {args.against}: no source has such a method. They have '
                f'{", ".join(known)}'
            )
        whole.against = args.against
    except CompressionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    draw_comparison(whole, out)
    write_tables(whole, out)
    write_comparison_page(whole, out)
    summary = comparison_summary(whole)
    write_text(out / SUMMARY_MD, summary)
    print(summary)
    return 0


def _read(source: Path) -> Comparison:
    if source.is_dir():
        found = read_comparison(source)
        if not found.cells:
            raise CompressionError(f'{source} holds no comparison: it has no {CELLS}/')
        return found
    return read_comparison_csv(source)
