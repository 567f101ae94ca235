"""What the tools that compare runs have in common: arguments, and running a plan."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mmdet_lcp.comparison.jobs import Start
from mmdet_lcp.comparison.plan import ComparisonPlan
from mmdet_lcp.comparison.run import run_comparison
from mmdet_lcp.config.cfg_options import CfgOptions
from mmdet_lcp.shipped import shipped
from mmdet_lcp_start.commands import PROGRAM


def add_common_arguments(parser: argparse.ArgumentParser, options_help: str) -> None:
    """Add ``--seeds``, ``--jobs``, ``--cfg-options`` and ``--dry-run``.

    Args:
        parser: of a tool.
        options_help: what ``--cfg-options`` sets keys of, with an example.
    """
    add = parser.add_argument
    add('--seeds', nargs='+', type=int, default=[0], metavar='S', help='default: 0')
    add(
        '--jobs',
        type=_count,
        default=1,
        metavar='N',
        help='runs at a time (default: 1); they share the cores, unless OMP_NUM_THREADS says how '
        'many threads each gets',
    )
    add(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        default={},
        metavar='KEY=VALUE',
        help=options_help,
    )
    add('--dry-run', action='store_true', help='print the runs and which of them exist, and end')


def run_plan(
    plan: ComparisonPlan,
    out: Path,
    jobs: int,
    tool: str,
    argv: Sequence[str] | None,
    start: Start,
) -> int:
    """Run what is left of a plan, telling of each run that ends and of the tables.

    Args:
        plan: what to run.
        out: folder for everything.
        jobs: runs at a time, >= 1.
        tool: the command that was called.
        argv: its command line; this process's unless given.
        start: starts a run in a process of its own.

    Returns:
        The exit status: 1 if a run has failed.

    Raises:
        CompressionError: the folder holds something else.
    """
    words = [PROGRAM, tool, *(sys.argv[1:] if argv is None else argv)]
    command = shlex.join(map(str, words))
    train = shipped('tools').resolve() / 'train.py'

    def tell(line: str) -> None:
        print(line, flush=True)

    ended_well = run_comparison(plan, out, train, jobs, command, start, tell)
    print(f'Tables: {out / "table.md"}, {out / "table.csv"}')
    return 0 if ended_well else 1


def _count(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} must be an integer of at least 1')
    return int(text)
