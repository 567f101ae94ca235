"""Train, prune or retrain a detector: whatever the config's runner does.

mmdet-lcp train configs/ssd/ssd_narrow_vgg_digits.py
mmdet-lcp train configs/lcp/ssd300_r50_prune.py --cfg-options load_from=ssd300_r50.pth
torchrun --nproc-per-node 8 -m mmdet_lcp train CONFIG --launcher pytorch
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmdet_lcp import CompressionError, compat
from mmdet_lcp.config.cfg_options import CfgOptions
from mmdet_lcp.config.file import read_config
from mmdet_lcp.config.handed_out import inherits_work_dir
from mmdet_lcp.engine.endings import exit_status
from mmdet_lcp.engine.resuming import begin_or_resume

_AGAIN = 'the same command with --resume goes on from the last complete epoch or stage'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='a config of mmdet or of this package')
    parser.add_argument(
        '--work-dir', help='folder for everything written (work_dirs/CONFIG_NAME unless told)'
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on where the run in the work_dir stopped; begin if there is none',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--seed', type=int, help='seed of all random numbers')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='set keys of the config, e.g. pruning.ratio=0.7 load_from=dense.pth',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how several processes were started, if they were',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='(torchrun)')
    return parser.parse_args(argv)


def load_config(args: argparse.Namespace) -> Config:
    """The config with the command line's changes."""
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None or _inherited(args, cfg.work_dir):
        cfg.work_dir = os.path.join('work_dirs', Path(args.config).stem)
    if args.seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': args.seed}
    if args.amp:
        if get_device() == 'cpu':
            raise CompressionError(
                '--amp needs a GPU: mmengine has no mixed precision without. To train in bfloat16 '
                'on a CPU: --cfg-options optim_wrapper.type=mmdet_lcp.Bfloat16OptimWrapper'
            )
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    cfg.resume = args.resume
    return cfg


def _inherited(args: argparse.Namespace, work_dir: str) -> bool:
    """Whether the config's `work_dir` is that of a run whose config it inherits."""
    told = 'work_dir' in (args.cfg_options or {})
    return not told and inherits_work_dir(args.config, work_dir)


def main(argv: Sequence[str] | None = None) -> int:
    """Build the config's runner and train; returns the exit status."""
    args = parse_args(argv)
    if args.launcher == 'pytorch':
        compat.init_cpu_process_group()
    return exit_status(lambda: _train(args), _AGAIN)


def _train(args: argparse.Namespace) -> int:
    cfg = load_config(args)
    if 'runner_type' in cfg:
        RUNNERS.build(cfg).train()
        return 0
    if args.resume:
        cfg.resume, cfg.load_from = begin_or_resume(cfg.work_dir, cfg.get('load_from'))
    Runner.from_cfg(cfg).train()
    return 0
