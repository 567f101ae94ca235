#!/usr/bin/env python
"""Train several students over several seeds, with their teachers or without, and write one table.

Each CONFIG is trained as tools/train.py does, once for each seed, and measured on the test set
when its training ends. Killed on the way, the same command goes on; more configs or seeds may be
added to a folder later.

  python tools/compare_students.py configs/mimic/ssd_quarter_width_bccd_*.py --seeds 0 1 2 \\
      --out work_dirs/students_bccd --jobs 2

DIR/table.md and DIR/table.csv grow with every run that ends; DIR/cells/NAME/run/ has what the run
hands out.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from mmdet_lcp import CompressionError
from mmdet_lcp.runner.comparison import Start, run_comparison, start_process
from mmdet_lcp.runner.comparison.students import plan_students

TRAIN = Path(__file__).resolve().with_name('train.py')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('configs', nargs='+', metavar='CONFIG', help='a config that trains a detector')
    add('--seeds', nargs='+', type=int, default=[0], metavar='S', help='default: 0')
    add('--out', required=True, metavar='DIR', help='folder for everything')
    add('--jobs', type=int, default=1, metavar='N', help='runs at a time (default: 1)')
    add(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='set keys of all configs, e.g. train_cfg.max_epochs=10',
    )
    add('--dry-run', action='store_true', help='print the runs and which of them exist, and end')
    args = parser.parse_args(argv)
    if args.jobs < 1:
        parser.error('--jobs must be at least 1')
    return args


def main(argv: Sequence[str] | None = None, start: Start = start_process) -> int:
    """Plan, check, run.

    Args:
        argv: the command line; this process's unless given.
        start: starts a run in a process of its own.

    Returns:
        The exit status.
    """
    args = parse_args(argv)
    out = Path(args.out)
    try:
        plan = plan_students(args.configs, args.seeds, args.cfg_options)
        if args.dry_run:
            for cell in plan.cells:
                state = 'exists' if cell.is_finished(out) else 'to be run'
                print(f'{cell.name}  {cell.iterations}  {state}')
            return 0
        words = ['python', 'tools/compare_students.py', *(sys.argv[1:] if argv is None else argv)]

        def tell(line: str) -> None:
            print(line, flush=True)

        command = shlex.join(map(str, words))
        ended_well = run_comparison(plan, out, TRAIN, args.jobs, command, start, tell)
        print(f'Tables: {out / "table.md"}, {out / "table.csv"}')
        return 0 if ended_well else 1
    except CompressionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\ninterrupted; the same command goes on from here', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
