#!/usr/bin/env python
"""What pruning is worth in each runtime that is installed here: dense beside pruned, in one run.

First, shares of the multiply-accumulates: how many times faster over how many times fewer, with
any number of channels (`channel_divisor=1`) and with the steps of the runtime (`'auto'`); 1 is all
that was promised. Then, with --latency, shares of the milliseconds: asked, predicted, reached.

  OMP_NUM_THREADS=1 python benchmarks/runtimes.py --detectors ssd_narrow
  OMP_NUM_THREADS=1 python benchmarks/runtimes.py --runtimes onnxruntime ncnn --out runtimes.json
  OMP_NUM_THREADS=1 python benchmarks/runtimes.py --latency 0.7 0.5 0.3 --macs --detectors rtmdet_s
  python benchmarks/runtimes.py --tables runtimes.json others.json   # of what --out has kept

Weights are random, and so are the costs by which an amount is shared out over the groups: how
long a network takes does not depend on them. A detector that cannot be written for a runtime is
timed by its backbone, which the table says. One thread: processor time; of each network the least
counts.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from mmdet_lcp.config.file import read_config
from mmdet_lcp.coverage.detectors import build, plain_model
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.layer_kit.networks import Bench
from mmdet_lcp.export.layer_kit.run import check_measurable, run_kit
from mmdet_lcp.export.layer_kit.whole import add_whole, whole_bench
from mmdet_lcp.export.layer_kit.write import KitWriter
from mmdet_lcp.graph import ChannelGroup, find_groups
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.measure import on_device
from mmdet_lcp.measure.cost import detector_cost
from mmdet_lcp.measure.runtimes import RUNTIMES, TORCH
from mmdet_lcp.pruning.channel_steps import AUTO, step_of, step_table
from mmdet_lcp.pruning.targets.allocation import smallest
from mmdet_lcp.pruning.targets.cost_model import first_channels
from mmdet_lcp.pruning.targets.planner import TargetPlanner
from mmdet_lcp.pruning.targets.stopwatches import stopwatch_for
from mmdet_lcp.pruning.targets.target import Target
from mmdet_lcp.report.tables import markdown_table


@dataclass(frozen=True)
class Tried:
    """A detector, by its config, and the (height, width) of its images."""

    config: str
    size: tuple[int, int]


DETECTORS = {
    'ssd_narrow': Tried('mmdet_lcp::ssd/ssd_narrow_vgg_bccd.py', (192, 192)),
    'ssd300_vgg16': Tried('mmdet_lcp::ssd/ssd300_vgg16_coco.py', (300, 300)),
    'ssd300_r50': Tried('mmdet_lcp::ssd/ssd300_r50_coco.py', (300, 300)),
    'ssd300_mobilenet_v1': Tried('mmdet_lcp::ssd/ssd300_mobilenet_v1_coco.py', (300, 300)),
    'ssdlite_mobilenet_v2': Tried(
        'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py', (320, 320)
    ),
    'rtmdet_s': Tried('mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py', (640, 640)),
    'yolox_s': Tried('mmdet::yolox/yolox_s_8xb8-300e_coco.py', (640, 640)),
    'faster_rcnn_r50': Tried('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', (800, 1344)),
}
OLD = 1  # the divisor that takes any number of channels


@dataclass
class Network:
    """A detector, ready to be shared out."""

    detector: nn.Module
    size: tuple[int, int]
    groups: list[ChannelGroup] = field(default_factory=list)

    def stages(self, divisor: int | str, runtime: str, max_ratio: float) -> list[Stage]:
        """Its groups at their smallest."""
        table, found = step_table(runtime, None), []
        for group in self.groups:
            step = step_of(self.detector, group, divisor, table)
            count = smallest(group.channels, step, 1, max_ratio)
            if count < group.channels:
                found.append(Stage(group, count, count, step, 1))
        return found

    def shared_out(
        self, target: Target, divisor: int | str, runtime: str, tell: Callable[[str], None]
    ) -> tuple[nn.Module, Any]:
        """The detector at the numbers of channels that a target comes to, by random costs."""
        stages = self.stages(divisor, runtime, target.max_ratio)
        draw = np.random.default_rng(0)
        costs = [np.sort(draw.random(stage.group.channels - stage.keep)) for stage in stages]
        with tempfile.TemporaryDirectory() as folder:
            planner = TargetPlanner(target, stages, self.detector, self.size, Path(folder), tell)
            allocation = planner.share_out(costs, priced=False)
        groups = [stage.group for stage in stages]
        counts = [allocation.counts[group.name] for group in groups]
        return first_channels(self.detector, groups, counts), allocation


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--detectors', nargs='+', choices=list(DETECTORS), default=list(DETECTORS))
    add('--runtimes', nargs='+', choices=RUNTIMES, help='default: those that are installed')
    add('--macs', nargs='*', type=float, default=[0.5, 0.25, 0.1], help='shares that remain')
    add('--latency', nargs='*', type=float, default=[], help='likewise, of the milliseconds')
    add('--threads', type=int, default=1, help='of the CPU (default: 1)')
    add('--rounds', type=int, default=5, help='how often each network is opened (default: 5)')
    add('--seconds', type=float, default=0.5, help='that it then runs for (default: 0.5)')
    add('--out', metavar='JSON', help='all figures')
    add('--tables', nargs='+', metavar='JSON', help='print tables of such files, measure nothing')
    return parser.parse_args()


def installed() -> list[str]:
    """Runtimes whose engine and converter are here."""
    found = []
    for runtime in RUNTIMES:
        try:
            check_measurable(runtime)
        except CompressionError:
            continue
        found.append(runtime)
    return found


def network(name: str) -> Network:
    """A detector with random weights; nothing is downloaded."""
    tried = DETECTORS[name]
    torch.manual_seed(0)
    cfg = read_config(tried.config)
    detector = build(Config(dict(model=plain_model(cfg.model.to_dict())))).eval()
    groups = [group for group in find_groups(detector, tried.size) if not group.obstacle]
    return Network(detector, tried.size, groups)


def milliseconds(
    detectors: Sequence[nn.Module], size: tuple[int, int], runtime: str, args: argparse.Namespace
) -> tuple[list[float], str]:
    """Of several detectors in turn; and what of them was timed."""
    for part in ('', 'backbone'):
        try:
            with tempfile.TemporaryDirectory() as folder:
                writer = KitWriter(Path(folder), runtime)
                names = []
                for each in detectors:
                    if part:
                        bench = Bench(getattr(each, part), (1, 3, *size))
                    else:
                        bench = whole_bench(each, size)
                    names.append(add_whole(writer, bench, ()))
                times = run_kit(writer.close(), args.threads, args.rounds, args.seconds)
            ms = {entry['name']: entry['ms'] for entry in times['entries']}
            return [ms[name] for name in names], part
        except CompressionError as error:
            reason = str(error)
    raise CompressionError(reason)


def by_macs(name: str, one: Network, runtime: str, args: argparse.Namespace) -> list[dict]:
    """Rows of the first table."""
    rows: list[dict] = []
    detectors = [one.detector]
    for share in args.macs:
        for divisor in (OLD, AUTO):
            try:
                target = Target(macs=share, max_ratio=0.9)
                pruned, _ = one.shared_out(target, divisor, runtime, lambda line: None)
            except CompressionError as error:
                print(f'{name}, {share:g}, {divisor}: {str(error).partition(". ")[0]}', flush=True)
                continue
            detectors.append(pruned)
            rows.append(dict(detector=name, runtime=runtime, asked=share, divisor=divisor))
    ms, part = milliseconds(detectors, one.size, runtime, args)
    counted = [getattr(each, part) if part else each for each in detectors]
    macs = [detector_cost(each, one.size)['macs'] for each in counted]
    for row, own, count in zip(rows, ms[1:], macs[1:], strict=True):
        row.update(
            part=part,
            macs=count / macs[0],
            dense_ms=ms[0],
            ms=own,
            worth=ms[0] / own * count / macs[0],
        )
    return rows


def by_latency(name: str, one: Network, runtime: str, args: argparse.Namespace) -> list[dict]:
    """Rows of the second table: what is reached is measured anew, after all is decided."""
    rows = []
    for share in args.latency:
        target = Target(latency=share, max_ratio=0.9, runtime=runtime, threads=args.threads)
        try:
            pruned, found = one.shared_out(target, AUTO, runtime, lambda line: None)
        except CompressionError as error:
            print(f'{name}, {runtime}, {share:g}: {str(error).partition(". ")[0]}', flush=True)
            continue
        if runtime == TORCH:  # as a run's report tells it: the detector itself, nothing exported
            before, after = stopwatch_for(target).pair(one.detector, pruned, one.size)
        else:
            before, after = milliseconds([one.detector, pruned], one.size, runtime, args)[0]
        rows.append(
            dict(
                detector=name,
                runtime=runtime,
                asked=share,
                predicted=found.predicted,
                measured=found.measured,
                reached=after / before,
                dense_ms=before,
            )
        )
    return rows


def shown(rows: list[dict], keys: Sequence[str]) -> str:
    """A table of some of the figures."""

    def text(value: Any) -> str:
        return f'{value:.3f}' if isinstance(value, float) else str(value)

    return markdown_table(list(keys), [[text(row[key]) for key in keys] for row in rows])


def wide_macs(rows: Sequence[dict]) -> str:
    """Worth by runtime, a row a detector and share: any number of channels, then the steps."""
    runtimes = list(dict.fromkeys(row['runtime'] for row in rows))
    found: dict[tuple, dict[str, dict]] = {}
    for row in rows:
        part = f'{row["detector"]}{", " + row["part"] if row["part"] else ""}'
        cell = found.setdefault((part, row['asked']), {}).setdefault(row['runtime'], {})
        cell[row['divisor']] = row['worth']
    table = [
        [part, f'{share:g}']
        + [
            ', '.join(f'{cells[name][d]:.2f}' if d in cells[name] else '–' for d in (OLD, AUTO))
            if name in cells
            else ''
            for name in runtimes
        ]
        for (part, share), cells in found.items()
    ]
    return markdown_table(['detector', 'MACs asked', *runtimes], table)


def wide_latency(rows: Sequence[dict]) -> str:
    """What was asked and reached by runtime, a row a detector and share."""
    runtimes = list(dict.fromkeys(row['runtime'] for row in rows))
    found: dict[tuple, dict[str, str]] = {}
    for row in rows:
        cells = found.setdefault((row['detector'], row['asked']), {})
        cells[row['runtime']] = f'{row["predicted"]:.3f}, {row["reached"]:.3f}'
    table = [
        [name, f'{share:g}', *[cells.get(runtime, '') for runtime in runtimes]]
        for (name, share), cells in found.items()
    ]
    return markdown_table(['detector', 'asked', *runtimes], table)


def main() -> None:
    """Measure and print."""
    args = parse_args()
    if args.tables:
        read = [json.loads(Path(file).read_text()) for file in args.tables]
        for key, table in (('macs', wide_macs), ('latency', wide_latency)):
            if rows := [row for one in read for row in one[key]]:
                print(table(rows) + '\n')
        return
    register_all_modules()
    torch.set_num_threads(args.threads)
    runtimes = args.runtimes or installed()
    print(', '.join(on_device.device(runtime, args.threads) for runtime in runtimes), flush=True)
    macs: list[dict] = []
    latency: list[dict] = []
    for name in args.detectors:
        one = network(name)
        for runtime in runtimes:
            for rows, measure in ((macs, by_macs), (latency, by_latency)):
                if not (args.macs if measure is by_macs else args.latency):
                    continue
                try:
                    rows += measure(name, one, runtime, args)
                except CompressionError as error:
                    print(f'{name}, {runtime}: {str(error)[:200]}', flush=True)
            if args.out:
                Path(args.out).write_text(json.dumps(dict(macs=macs, latency=latency), indent=1))
            print(f'{name}, {runtime}: done', flush=True)
    if macs:
        keys = ('detector', 'part', 'runtime', 'divisor', 'macs', 'dense_ms', 'ms', 'worth')
        print('\n' + shown(macs, keys))
    if latency:
        keys = ('detector', 'runtime', 'asked', 'predicted', 'measured', 'reached', 'dense_ms')
        print('\n' + shown(latency, keys))


if __name__ == '__main__':
    main()
