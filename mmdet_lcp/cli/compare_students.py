"""Train several students over several seeds, with their teachers or without, and write one table.

Each CONFIG is trained as `mmdet-lcp train` does, once for each seed, and measured on the test set
when its training ends. Killed on the way, the same command goes on; more configs or seeds may be
added to a folder later.

  mmdet-lcp compare-students configs/mimic/ssd_quarter_width_bccd_*.py --seeds 0 1 2 \\
      --out work_dirs/students_bccd --jobs 2

DIR/table.md and DIR/table.csv grow with every run that ends; DIR/cells/NAME/run/ has what the run
hands out.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdet_lcp.comparison import Start, start_process
from mmdet_lcp.comparison.command_line import add_common_arguments, run_plan
from mmdet_lcp.comparison.students import plan_students
from mmdet_lcp.engine.endings import AGAIN, exit_status


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('configs', nargs='+', metavar='CONFIG', help='a config that trains a detector')
    add('--out', required=True, metavar='DIR', help='folder for everything')
    add_common_arguments(parser, 'set keys of all configs, e.g. train_cfg.max_epochs=10')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, start: Start = start_process) -> int:
    """Plan, check, run.

    Args:
        argv: the command line; this process's unless given.
        start: starts a run in a process of its own.

    Returns:
        The exit status.
    """
    args = parse_args(argv)

    def work() -> int:
        out = Path(args.out)
        plan = plan_students(args.configs, args.seeds, args.cfg_options)
        if args.dry_run:
            for cell in plan.cells:
                state = 'exists' if cell.is_finished(out) else 'to be run'
                print(f'{cell.name}  {cell.iterations}  {state}')
            return 0
        return run_plan(plan, out, args.jobs, 'compare-students', argv, start)

    return exit_status(work, AGAIN)
