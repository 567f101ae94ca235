"""Run every pruning method on the same detector, data and budget, and write one table.

CONFIG is a pruning config: it gives the detector, the data, the layers and the training budget.
Each method, a fragment of configs/_base_/pruning/, brings what chooses the channels (criterion,
update, auxiliary network, objective). NAME+exact, NAME+none and NAME+sgd are a method with another
update, NAME+OTHER is one with the update of another method, on the positions that OTHER looks at.
The controls `scratch` and `uniform` train the small architecture from scratch; `dense_retrained`
trains the dense detector on as the pruned ones are. `torch_pruning_taylor`,
`torch_pruning_group_norm`, `torch_kirigami_taylor` and `torch_kirigami_group_magnitude` are the
pruners of those packages on the same groups and multiply-accumulates, removed and retrained as
the others.

At a ratio (--ratios) all methods leave equally many channels of each group; at a share of the
multiply-accumulates (--macs) each takes from the groups what costs least by its own scores.

A run is one method at one ratio or share with one seed. All of them train the detector for as many
iterations; a method with an auxiliary network takes those that train it off its retraining.

  # which methods are there?
  mmdet-lcp compare --list
  # what would be run, and for how long is it trained?
  mmdet-lcp compare configs/lcp/compare_digits.py --criteria lcp lcp+exact scratch \\
      --ratios 0.5 0.7 --seeds 0 1 2 --out work_dirs/compare_digits --dry-run
  # run it, two at a time; killed on the way, the same command goes on
  mmdet-lcp compare configs/lcp/compare_digits.py --criteria lcp lcp+exact scratch \\
      --ratios 0.5 0.7 --seeds 0 1 2 --out work_dirs/compare_digits --jobs 2
  # at a quarter of the multiply-accumulates, into the same folder
  mmdet-lcp compare configs/lcp/compare_digits.py --criteria lcp_exact group_fisher+exact \\
      --macs 0.25 --seeds 0 1 2 --out work_dirs/compare_digits

DIR/table.md and DIR/table.csv grow with every run that ends; more methods, ratios or seeds may be
added to a folder later. DIR/report.html shows all of it, each run with a link to its own page.
DIR/cells/NAME/log.txt is what a run prints.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdet_lcp.comparison import (
    CONTROLS,
    PEERS,
    ComparisonPlan,
    Request,
    Start,
    list_methods,
    plan_comparison,
    start_process,
)
from mmdet_lcp.comparison.command_line import add_common_arguments, run_plan
from mmdet_lcp.config.cfg_options import CfgOptions
from mmdet_lcp.engine.endings import AGAIN, exit_status


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', nargs='?', metavar='CONFIG', help='a pruning config')
    add(
        '--criteria',
        nargs='+',
        metavar='METHOD',
        help='methods to compare: NAME, NAME+UPDATE, path of a fragment, or a control: '
        'scratch, uniform, dense_retrained',
    )
    add(
        '--ratios',
        nargs='+',
        type=float,
        default=[],
        metavar='R',
        help="fractions of the channels to remove, each between 0 and 1 (CONFIG's unless told)",
    )
    add(
        '--macs',
        nargs='+',
        type=float,
        default=[],
        metavar='S',
        help='shares of the multiply-accumulates that may remain, each between 0 and 1; every '
        'method shares the removal out over the groups by its own scores',
    )
    add('--out', metavar='DIR', help='folder for everything (work_dirs/CONFIG_NAME unless told)')
    add('--checkpoint', metavar='PATH', help="the dense detector (CONFIG's load_from unless told)")
    add(
        '--finetune-iters',
        type=int,
        default=8,
        metavar='N',
        help='iterations before each group, for methods with an auxiliary network, or with '
        '--finetune-all for every method (default: 8)',
    )
    add(
        '--finetune-all',
        action='store_true',
        help="train --finetune-iters before each group for every method, as LCP's, DCP's and "
        "ThiNet's papers do; these iterations are taken off the training at the end",
    )
    add_common_arguments(
        parser,
        'set keys of CONFIG for all runs, e.g. pruning.retrain.max_epochs=2; keys of a method, '
        'such as pruning.criterion.metric=variance, are set in every method of --criteria',
    )
    add(
        '--scratch-options',
        nargs='+',
        action=CfgOptions,
        default={},
        metavar='KEY=VALUE',
        help='set keys of CONFIG for scratch and uniform, e.g. optim_wrapper.optimizer.lr=0.03: a '
        'small network may learn better from scratch at another rate than the dense one',
    )
    add(
        '--against',
        default='',
        metavar='METHOD',
        help='the method that the others are compared with, or dense: who is ahead, and by how '
        'much (the first of the folder unless told)',
    )
    add('--list', action='store_true', help='print the methods and end')
    args = parser.parse_args(argv)
    if not args.list and (args.config is None or not args.criteria):
        parser.error('CONFIG and --criteria are needed; --list prints the methods')
    return args


def print_methods() -> None:
    """Print every method with a line of description."""
    peers = {name: words for name, (_, _, words) in PEERS.items()}
    methods = {**list_methods(), **peers, **CONTROLS}
    width = max(map(len, methods))
    for name, words in methods.items():
        print(f'{name:{width}}  {words}')
    print('\nNAME+exact, NAME+none, NAME+sgd: the method with another update of the kernels.')
    print('NAME+OTHER: the method with the update, and the positions, of another one.')


def print_plan(plan: ComparisonPlan, out: Path) -> None:
    """Print every run with its training, and how far it is."""
    width = max(len(cell.name) for cell in plan.cells)
    for cell in plan.cells:
        if cell.same_as:
            state = f'the same as {cell.same_as}'
        elif cell.is_finished(out):
            state = 'exists'
        else:
            state = 'begun' if cell.has_begun(out) else 'to be run'
        print(f'{cell.name:{width}}  {cell.total} iterations ({cell.iterations})  {state}')
    for note in plan.notes:
        print(note)


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
        if args.list:
            print_methods()
            return 0
        request = Request(
            config=args.config,
            methods=args.criteria,
            ratios=args.ratios,
            macs=args.macs,
            seeds=args.seeds,
            checkpoint=args.checkpoint,
            finetune_iters=args.finetune_iters,
            finetune_all=args.finetune_all,
            cfg_options=args.cfg_options,
            scratch_options=args.scratch_options,
            against=args.against,
        )
        plan = plan_comparison(request)
        out = Path(args.out or Path('work_dirs', Path(args.config).stem))
        if args.dry_run:
            print_plan(plan, out)
            return 0
        return run_plan(plan, out, args.jobs, 'compare', argv, start)

    return exit_status(work, AGAIN)
