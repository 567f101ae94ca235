"""Try out which detectors can be pruned, and how; write it down as a page.

Each detector is built from its own config with random weights, traced, pruned, saved, opened by
init_detector, trained on, pruned again and exported, in a process of its own that may take four
minutes of processor time. What has been tried is kept in DIR, a file a detector; killed on the
way, the same command goes on with the next one. A detector is tried again when the package or
mmdet have changed since.

  # your own detector, before you set out to prune it: DIR/support.md
  mmdet-lcp support --only my_detector.py --size 256
  mmdet-lcp support --only fcos yolox-s
  # one of each family of mmdet's zoo: under an hour of two cores
  mmdet-lcp support --only zoo --jobs 2
  # the page of the documentation: these, and some with every criterion, which takes hours
  mmdet-lcp support --out docs/support --page docs/support.md --jobs 2
"""

import argparse
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

from mmdet.utils import register_all_modules

from mmdet_lcp import CompressionError
from mmdet_lcp.coverage import DETECTORS, SupportedDetector, TrialFacts, support_page
from mmdet_lcp.coverage.criteria import TRIED
from mmdet_lcp.coverage.page import failed
from mmdet_lcp.coverage.rows import Row, make_rows, read_rows
from mmdet_lcp.coverage.zoo import ZOO
from mmdet_lcp.files import write_text
from mmdet_lcp.nearest import nearest_hint
from mmdet_lcp.report.tables import format_seconds

WIDTH = 80  # characters of the help
SETS = {'zoo': tuple(ZOO.values()), 'criteria': DETECTORS}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    keys = f'the detectors of the set criteria: {_keys()}'
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=textwrap.fill(keys, WIDTH, break_on_hyphens=False),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        '--only',
        '--detectors',
        dest='detectors',
        nargs='+',
        metavar='NAME',
        default=list(SETS),
        help='which ones: config files; families of mmdet by the folder of their configs (atss, '
        '...), zoo for all of them; detectors that are named below, criteria for all of them '
        '(default: zoo criteria)',
    )
    add(
        '--criteria',
        nargs='+',
        choices=list(TRIED),
        metavar='NAME',
        help=f'which criteria select channels: {", ".join(TRIED)} (default: all, with config '
        'files and the detectors of the set criteria; others none)',
    )
    add(
        '--size',
        type=int,
        default=256,
        metavar='PIXELS',
        help='side of the images for config files of your own (default: 256)',
    )
    add(
        '--out',
        default='work_dirs/support',
        metavar='DIR',
        help='folder for what has been tried, a file a detector (default: work_dirs/support)',
    )
    add('--page', metavar='FILE', help='the page (default: DIR/support.md)')
    add('--jobs', type=int, default=1, metavar='N', help='detectors at a time (default: 1)')
    add('--again', action='store_true', help='try detectors that have been tried before')
    return parser.parse_args(argv)


def chosen(names: Sequence[str], size: int) -> list[SupportedDetector]:
    """The detectors that the command line names, each once.

    Args:
        names: config files, families, detectors or sets of them.
        size: side of the images for config files.

    Raises:
        CompressionError: there is none of that name.
    """
    known = {detector.key: detector for detector in (*ZOO.values(), *DETECTORS)}
    found: list[SupportedDetector] = []
    for name in names:
        if name in SETS:
            found += SETS[name]
        elif name in ZOO:
            found.append(ZOO[name])
        elif name in known:
            found.append(known[name])
        elif name.endswith('.py'):
            found.append(SupportedDetector.of_file(name, size))
        else:
            near = nearest_hint(name, [*SETS, *ZOO, *known])
            raise CompressionError(
                f'--only {name}: is no config file (*.py), no family of mmdet and none of '
                f'{_keys()}{near}'
            )
    return list(dict.fromkeys(found))


def _keys() -> str:
    return ', '.join(detector.key for detector in DETECTORS)


def rows_of(args: argparse.Namespace) -> list[Row]:
    """The rows that the command line asks for."""
    folder, rows = Path(args.out), []
    for detector in chosen(args.detectors, args.size):
        criteria = args.criteria
        if criteria is None:
            criteria = () if detector in ZOO.values() and detector not in DETECTORS else TRIED
        rows.append(Row(detector, tuple(criteria), folder / f'{detector.key}.json'))
    return rows


def make(rows: Sequence[Row], jobs: int) -> None:
    """Make rows; tells of each step, and how long the rest will take."""
    began, finished = time.monotonic(), 0

    def shown() -> str:
        if not finished:
            return f'[0/{len(rows)}]'
        rest = (time.monotonic() - began) / finished * (len(rows) - finished)
        return f'[{finished}/{len(rows)}, about {format_seconds(rest)} left]'

    def tell(row: Row, line: str) -> None:
        print(shown(), line, flush=True)

    def made(row: Row, facts: TrialFacts) -> None:
        nonlocal finished
        finished += 1
        state = f'FAILS ({", ".join(facts.failures)})' if failed(facts) else 'done'
        took = format_seconds(sum(facts.seconds.values()))
        print(f'{shown()} {row.detector.name}: {state}, {took} of processor time', flush=True)

    make_rows(rows, jobs, tell, made)


def main(argv: Sequence[str] | None = None) -> int:
    """Try what is missing, and write the page.

    Returns:
        The exit status: 1 if something went wrong, with one of the detectors too.
    """
    args = parse_args(argv)
    register_all_modules(init_default_scope=False)
    folder = Path(args.out)
    try:
        rows = rows_of(args)
        left = [row for row in rows if args.again or not row.is_done()]
        if len(left) < len(rows):
            print(f'{len(rows) - len(left)} of {len(rows)} detectors are up to date in {folder}')
        make(left, max(args.jobs, 1))
        facts = read_rows(folder)
    except CompressionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\ninterrupted; the same command goes on from here', file=sys.stderr)
        return 130
    page = Path(args.page or folder / 'support.md')
    write_text(page, support_page(facts))
    print(f'{page} written; logs with tracebacks are in {folder}')
    asked = {row.detector.name for row in rows}
    return int(any(failed(each) for each in facts if each.name in asked))
