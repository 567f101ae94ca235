"""Measure what a detector loses when one group of channels is pruned and nothing retrained.

Each group alone, at several ratios, with CONFIG's own criterion and update: DIR/sensitivity.csv,
DIR/sensitivity.png and a summary. Killed on the way, the same command goes on; more --ratios may
be added later.

  mmdet-lcp sensitivity my_ssd300_pruned.py my_ssd300.pth
  # and ratios at which every group loses equally much for what it saves, for a run
  mmdet-lcp sensitivity my_ssd300_pruned.py my_ssd300.pth --target macs=0.5 --out DIR
  mmdet-lcp train my_ssd300_pruned.py --cfg-options pruning.ratio=DIR/ratios.json
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import RUNNERS

from mmdet_lcp import compat
from mmdet_lcp.config.cfg_options import CfgOptions
from mmdet_lcp.config.file import read_config
from mmdet_lcp.config.keys import parse
from mmdet_lcp.engine.endings import AGAIN, exit_status
from mmdet_lcp.pruning.targets.target import KEY, Target
from mmdet_lcp.report.sensitivity import RATIOS_JSON, SENSITIVITY_CSV, SENSITIVITY_PNG


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='a pruning config')
    add(
        'checkpoint',
        nargs='?',
        metavar='CHECKPOINT',
        help="the dense detector (CONFIG's load_from unless told)",
    )
    add(
        '--ratios',
        nargs='+',
        type=float,
        default=[0.25, 0.5, 0.75],
        metavar='R',
        help="parts of a group's channels that go (default: 0.25 0.5 0.75)",
    )
    add(
        '--measure',
        choices=['loss', 'mAP', 'both'],
        default='loss',
        help="the detector's own loss on training images, mAP on the validation set, or both "
        '(default: loss)',
    )
    add(
        '--images',
        type=int,
        default=64,
        metavar='N',
        help='training images for the loss; those on which channels are selected are others '
        '(default: 64)',
    )
    add(
        '--target',
        nargs='+',
        action=CfgOptions,
        metavar='COST=SHARE',
        help=f'macs, params or latency: write {RATIOS_JSON} with which so much of it remains',
    )
    add('--out', metavar='DIR', help='folder for everything (work_dirs/CONFIG_NAME_sensitivity)')
    add('--seed', type=int, help='seed of all random numbers')
    add(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='set keys of CONFIG, e.g. pruning.layers=backbone',
    )
    add(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how several processes were started, if they were',
    )
    add('--local_rank', '--local-rank', type=int, default=0, help='(torchrun)')
    return parser.parse_args(argv)


def load_config(args: argparse.Namespace) -> Config:
    """The config with the command line's changes."""
    cfg = read_config(args.config, args.cfg_options)
    cfg.runner_type = 'mmdet_lcp.SensitivityRunner'
    cfg.work_dir = args.out or os.path.join('work_dirs', f'{Path(args.config).stem}_sensitivity')
    cfg.launcher, cfg.resume = args.launcher, False
    if args.checkpoint:
        cfg.load_from = args.checkpoint
    if args.seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': args.seed}
    return cfg


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing, and print.

    Returns:
        The exit status.
    """
    args = parse_args(argv)
    if args.launcher == 'pytorch':
        compat.init_cpu_process_group()
    return exit_status(lambda: _measure(args), AGAIN)


def _measure(args: argparse.Namespace) -> int:
    target = None if args.target is None else parse(Target, args.target, KEY)
    runner = RUNNERS.build(load_config(args))
    found = runner.measure(args.ratios, args.measure, args.images)
    folder = Path(runner.work_dir)
    lines = [found.summary()]
    if target is not None:
        allocation = runner.ratios_for(found, target)
        lines += [
            str(allocation),
            f'Ratios: {folder / RATIOS_JSON}; to prune with them: --cfg-options '
            f'pruning.ratio={folder / RATIOS_JSON}',
        ]
    lines.append(f'Table and figure: {folder / SENSITIVITY_CSV}, {folder / SENSITIVITY_PNG}')
    runner.logger.info('\n' + '\n'.join(lines))
    return 0
