#!/usr/bin/env python
"""mAP at equal milliseconds, for three ways to say how much goes: latency, MACs, one ratio.

A latency target is run first. Then the share of the multiply-accumulates and the ratio of all
groups are searched for that make the pruned detector as fast, measured in the runtime (seed 0,
without training); then all three run with every seed and are trained on.

  OMP_NUM_THREADS=1 python benchmarks/equal_milliseconds.py configs/lcp/compare_txlpbc.py \\
      --checkpoint work_dirs/ssd_narrow_vgg_txlpbc/epoch_36.pth --epochs 0

The same command goes on where it was stopped. One thread: processor time of the whole network in
the runtime, dense and pruned in turn, the least of all rounds.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from common import ROOT
from mmdet.apis import init_detector
from mmdet.utils import register_all_modules
from runtimes import milliseconds
from torch import nn

from mmdet_lcp.config.file import read_config
from mmdet_lcp.config.text import config_text
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import write_text
from mmdet_lcp.report.report import read_report
from mmdet_lcp.report.tables import markdown_table

MAP = 'coco/bbox_mAP'
NEAR = 0.01  # of the milliseconds
TRIES = 5
WAYS = ('latency', 'macs', 'ratio')


@dataclass(frozen=True)
class Ask:
    """How much goes: by one of `WAYS`, and the share that stays, of a ratio that goes."""

    way: str
    amount: float


@dataclass
class Found:
    """What has come of a run."""

    ms: float
    dense_ms: float
    macs: float
    selected: float
    trained: float

    @property
    def share(self) -> float:
        """Of the dense detector's milliseconds."""
        return self.ms / self.dense_ms


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='a pruning config')
    add('--checkpoint', required=True, help='the dense detector')
    add('--latency', nargs='+', type=float, default=[0.5, 0.3], help='shares that remain')
    add('--runtime', default='onnxruntime')
    add('--seeds', nargs='+', type=int, default=[0, 1, 2])
    add('--epochs', type=int, default=12, help='of training after the selection')
    add('--lr', type=float, default=0.02, help='its rate')
    add('--threads', type=int, default=1)
    add('--rounds', type=int, default=6)
    add('--seconds', type=float, default=0.3)
    add('--out', default='work_dirs/equal_milliseconds')
    return parser.parse_args()


class Bench:
    """Runs a config with an amount, a seed and a length of training, each once."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.out = args, Path(args.out)
        self.dense: nn.Module | None = None

    def run(self, ask: Ask, seed: int, epochs: int) -> Found:
        """What a run has come to, from its folder if it has ended before."""
        name = f'{ask.way}{ask.amount:.5g}_s{seed}_e{epochs}'
        folder = self.out / 'cells' / name
        kept = folder / 'found.json'
        if kept.exists():
            return Found(**json.loads(kept.read_text()))
        write_text(folder / 'cell.py', config_text(self._cfg(ask, seed, epochs)))
        command = [sys.executable, str(ROOT / 'tools' / 'train.py'), str(folder / 'cell.py')]
        command += ['--work-dir', str(folder / 'run'), '--resume']
        with open(folder / 'log.txt', 'a') as log:
            if subprocess.run(command, stdout=log, stderr=log, check=False).returncode:
                raise SystemExit(f'{name} failed, see {folder / "log.txt"}')
        found = self._found(folder / 'run')
        write_text(kept, json.dumps(vars(found)))
        print(f'{name}: {found.share:.3f} of the ms, mAP {found.selected}, {found.trained}')
        return found

    def _cfg(self, ask: Ask, seed: int, epochs: int) -> dict[str, Any]:
        args = self.args
        cfg = read_config(args.config).to_dict()
        asked = dict(ratio=ask.amount, target=None)
        if ask.way != 'ratio':
            asked = dict(ratio=None, target={ask.way: ask.amount})
        if ask.way == 'latency':
            asked['target'] |= dict(runtime=args.runtime, threads=args.threads)
        cfg['pruning'] |= dict(asked, runtime=args.runtime, channel_divisor='auto')
        cfg['pruning']['retrain'] |= dict(max_epochs=epochs, lr=args.lr)
        return dict(cfg, load_from=args.checkpoint, randomness=dict(seed=seed))

    def _found(self, run: Path) -> Found:
        """Read the report, and time what was handed out beside the dense detector."""
        report = read_report(run / 'report.json')
        pruned = init_detector(
            str(run / 'pruned_config.py'), str(run / 'pruned.pth'), device='cpu'
        )
        if self.dense is None:
            self.dense = init_detector(self.args.config, self.args.checkpoint, device='cpu')
        size = read_config(self.args.config).image_size
        ms, part = milliseconds([self.dense, pruned], (size, size), self.args.runtime, self.args)
        if part:
            raise CompressionError(f'only the {part} can be run by {self.args.runtime}')
        return Found(
            ms[1],
            ms[0],
            report.compressed.macs / report.dense.macs,
            report.pruned_metrics[MAP],
            report.compressed.metrics[MAP],
        )

    def as_fast(self, way: str, goal: Found) -> Ask:
        """The amount that makes the detector as fast; by regula falsi, the nearest try."""
        guess = goal.macs if way == 'macs' else 1 - goal.macs**0.5
        tried: list[tuple[float, float]] = []  # what it takes, how far from the goal
        for _ in range(TRIES):
            guess = round(min(max(guess, 0.02), 0.97), 4)
            off = self.run(Ask(way, guess), 0, 0).share / goal.share - 1
            tried.append((guess, off))
            if abs(off) <= NEAR:
                break
            guess = _next(tried, sign=1 if way == 'macs' else -1)
        return Ask(way, min(tried, key=lambda one: abs(one[1]))[0])


def _next(tried: list[tuple[float, float]], sign: int) -> float:
    """Between the nearest amounts on both sides of the goal; a step where there is one side."""
    over = [one for one in tried if one[1] > 0]
    under = [one for one in tried if one[1] <= 0]
    if not over or not under:
        amount, off = min(tried, key=lambda one: abs(one[1]))
        return amount - sign * off * (amount if sign > 0 else 1 - amount)
    (a, u), (b, v) = min(over, key=lambda one: one[1]), max(under, key=lambda one: one[1])
    return a - u * (b - a) / (v - u)


def _row(goal: float, ask: Ask, found: list[Found]) -> list[str]:
    def spread(values: list[float], digits: int) -> str:
        mean = f'{statistics.fmean(values):.{digits}f}'
        return f'{mean} ± {statistics.stdev(values):.{digits}f}' if len(values) > 1 else mean

    return [
        f'{goal:g}',
        f'{ask.way} {ask.amount:g}',
        spread([one.share for one in found], 3),
        spread([one.macs for one in found], 3),
        spread([one.selected for one in found], 3),
        spread([one.trained for one in found], 3),
    ]


def main() -> None:
    """Search, run, print."""
    args = parse_args()
    register_all_modules()
    torch.set_num_threads(args.threads)
    bench, rows = Bench(args), []
    for share in args.latency:
        asks = [Ask('latency', share)]
        goal = bench.run(asks[0], 0, 0)
        asks += [bench.as_fast(way, goal) for way in WAYS[1:]]
        for ask in asks:
            found = [bench.run(ask, seed, args.epochs) for seed in args.seeds]
            rows.append(_row(share, ask, found))
    heads = ['ms asked', 'by', 'ms reached', 'MACs', 'mAP after selection', 'mAP after training']
    shown = len(heads) - (not args.epochs)  # nothing has been trained
    print('\n' + markdown_table(heads[:shown], [row[:shown] for row in rows]))


if __name__ == '__main__':
    main()
