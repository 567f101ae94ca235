"""Put the reports of several runs into one table; runs that differ in the seed make one row.

mmdet-lcp tabulate-runs work_dirs/bdnn
mmdet-lcp tabulate-runs work_dirs/low_bit_s0 work_dirs/low_bit_s1 --csv runs.csv

A row is named by its work_dirs without a seed at the end (_s0, _seed1): to compare, run e.g.

for seed in 0 1 2; do
  mmdet-lcp train configs/bdnn/ssd_narrow_vgg_bccd.py --seed $seed \\
    --work-dir work_dirs/bdnn/one_bit_s$seed
done
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmdet_lcp import CompressionError
from mmdet_lcp.comparison.results.run_table import find_reports, run_csv, run_table
from mmdet_lcp.files import write_text
from mmdet_lcp.report.tables import markdown_table, text_table


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'folders', nargs='+', metavar='DIR', help='work_dirs, or folders that hold work_dirs'
    )
    parser.add_argument('--csv', metavar='FILE', help='also write every run with all its figures')
    parser.add_argument('--markdown', metavar='FILE', help='also write the table as Markdown')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Read, print, write."""
    args = parse_args(argv)
    try:
        reports = find_reports(args.folders)
    except CompressionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    table = run_table(reports)
    print(text_table(*table))
    if args.csv:
        write_text(Path(args.csv), run_csv(reports))
    if args.markdown:
        write_text(Path(args.markdown), markdown_table(*table) + '\n')
    return 0
