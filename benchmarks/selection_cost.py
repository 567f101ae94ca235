#!/usr/bin/env python
"""Measures what scoring a layer costs, in plain training iterations on the same images.

For each of the 13 convolutions of SSD300-VGG16 that LCP prunes, two things are timed on one and
the same batch, in turn, and the medians are divided:

  scoring    LCP's criterion in one ranking: the present detector runs up to the next layer, the
             original one too unless its output there has been kept from a layer before, then
             the gradient of L_re + L_ac + L_ar with respect to the next layer's kernels
  iteration  the detector's own training: forward, backward, step of SGD

A ratio of 0.4 says: scoring a layer on N batches takes as long as training on 0.4 N. Weights are
random, which costs what trained ones cost. The choice of hard negatives, once a run for all
layers, is told apart.

  python benchmarks/selection_cost.py
  python benchmarks/selection_cost.py --batch-size 8 --threads 8 --repeats 5 --out cost.csv

Images: the blood cells in data/BCCD (or --data, or $MMDET_LCP_BCCD), else built-in digits. On two
cores it takes about five minutes with the defaults; a GPU is used if there is one.
"""

import argparse
import contextlib
import copy
import csv
import io
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from common import ROOT, random_detector, use_images
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdet_lcp.auxiliary.loss_terms import AuxiliaryTerm
from mmdet_lcp.files import write_text
from mmdet_lcp.graph import Plan, find_groups
from mmdet_lcp.graph.blocks import stage_of
from mmdet_lcp.graph.stage import Stage
from mmdet_lcp.pruning.config import PruningConfig
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.stages import choose_stages
from mmdet_lcp.report.tables import text_table

CONFIG = ROOT / 'configs' / 'lcp' / 'ssd300_vgg16_prune_bccd.py'
AIM = 0.4
SEED = 0
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--batch-size', type=int, default=2, help='images a batch (default 2)')
    parser.add_argument(
        '--repeats', type=int, default=3, help='timings of each, of which the median counts'
    )
    parser.add_argument('--threads', type=int, help="threads of torch (default: torch's own)")
    parser.add_argument(
        '--clock',
        choices=['wall', 'cpu'],
        default='wall',
        help="'cpu' counts this process's own seconds, summed over its threads: for a machine "
        'that is busy with other work (default wall)',
    )
    parser.add_argument('--data', help='BCCD folder with JPEGImages/ and Annotations/')
    parser.add_argument('--out', type=Path, help='CSV file to write, one line a layer')
    parser.add_argument(
        '--profile',
        metavar='LAYER',
        help="show what dominates the scoring of one layer, by torch's profiler, and stop",
    )
    return parser.parse_args()


class Benchmark:
    """SSD300-VGG16, one batch, and the two things that are timed.

    Args:
        cfg: a pruning config whose data loaders work.
        batch_size: images in the batch.
    """

    def __init__(self, cfg: Config, batch_size: int) -> None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        self.detector = random_detector(cfg, SEED).to(device)
        self.dense = copy.deepcopy(self.detector).eval().requires_grad_(False)
        self.pruning = PruningConfig.from_cfg(cfg)
        # A run measures the terms' shares on one of its many batches; here there is one batch.
        self.pruning.criterion.share_batches = 0
        groups = find_groups(self.detector, tuple(cfg.scale))
        self.stages, _ = choose_stages(self.detector, groups, self.pruning)
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        images = [dataset[index] for index in range(batch_size)]
        self.data = pseudo_collate(images)
        selection = self.pruning.selection
        # The batch gets the share of the cache that it would have among all images of a run.
        selection.cache_gb *= min(1.0, batch_size / selection.num_images)
        selection.num_images = batch_size
        began = time.perf_counter()
        self.selection_set = SelectionSet.draw(
            images,
            self.dense,
            selection,
            batch_size,
            SEED,
            self.pruning.attachment.sampler(self.dense),
        )
        synchronise()
        self.draw_seconds = time.perf_counter() - began
        cfg.optim_wrapper.optimizer.lr = 1e-9  # costs the same, and random weights stay finite
        self.optim_wrapper = build_optim_wrapper(self.detector, cfg.optim_wrapper)

    def iteration(self) -> None:
        """One plain training iteration."""
        self.detector.train()
        self.detector.train_step(copy.copy(self.data), self.optim_wrapper)

    def new_run(self) -> None:
        """Forget the feature maps of the original detector, as at the beginning of a run."""
        drawn = self.selection_set
        self.selection_set = SelectionSet(drawn.batches, drawn.cache_bytes)
        consumers = [m.path for stage in self.stages for m in stage.group.consumers]
        self.selection_set.expect(consumers, self.dense)

    def scoring(self, stage: Stage, auxiliary: nn.Module) -> None:
        """Score one layer as the runner does, feature maps included."""
        problem = self.selection_set.problem(
            stage.group,
            self.dense,
            self.detector,
            Plan(),
            self.pruning.objective,
            SEED,
            [AuxiliaryTerm(auxiliary)],
        )
        self.pruning.criterion.select(problem, stage.keep)

    def auxiliary(self, stage: Stage) -> nn.Module:
        """The layer's auxiliary network, as the runner builds it."""
        consumer = self.detector.get_submodule(stage.group.consumers[0].path)
        return self.pruning.attachment.build(self.detector, consumer.out_channels)


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(run: Callable[[], None], clock: Callable[[], float]) -> float:
    """What one call takes, by a clock."""
    synchronise()
    began = clock()
    run()
    synchronise()
    return clock() - began


def vgg_names(detector: nn.Module, stages: list[Stage]) -> list[str]:
    """conv1-1, conv1-2, ... for the layers in order."""
    names: list[str] = []
    seen: Counter[int | None] = Counter()
    for stage in stages:
        number = stage_of(detector, stage.group.name)
        seen[number] += 1
        names.append(f'conv{number}-{seen[number]}')
    return names


def measure(
    benchmark: Benchmark, repeats: int, clock: Callable[[], float]
) -> list[dict[str, str | float]]:
    """Median seconds of scoring and of an iteration, and their ratio, for each layer."""
    names = vgg_names(benchmark.detector, benchmark.stages)
    auxiliaries = [benchmark.auxiliary(stage) for stage in benchmark.stages]
    scorings: dict[str, list[float]] = {name: [] for name in names}
    iterations: dict[str, list[float]] = {name: [] for name in names}
    benchmark.iteration()  # warm up
    for repeat in range(repeats):
        benchmark.new_run()
        for name, stage, auxiliary in zip(names, benchmark.stages, auxiliaries, strict=True):
            scored = seconds_of(partial(benchmark.scoring, stage, auxiliary), clock)
            trained = seconds_of(benchmark.iteration, clock)
            scorings[name].append(scored)
            iterations[name].append(trained)
            print(f'{repeat + 1}/{repeats} {name}: {scored:.3f} s / {trained:.3f} s', flush=True)
    rows = []
    for name, stage in zip(names, benchmark.stages, strict=True):
        scored = statistics.median(scorings[name])
        trained = statistics.median(iterations[name])
        rows.append(
            dict(
                layer=name,
                path=stage.group.name,
                scoring_s=scored,
                iteration_s=trained,
                ratio=scored / trained,
            )
        )
    return rows


def profile(benchmark: Benchmark, layer: str) -> None:
    """Print the operators that the scoring of one layer spends its time in."""
    found = [stage for stage in benchmark.stages if stage.group.name == layer]
    if not found:
        names = ', '.join(stage.group.name for stage in benchmark.stages)
        raise SystemExit(f'error: --profile {layer}: there are {names}')
    auxiliary = benchmark.auxiliary(found[0])
    benchmark.scoring(found[0], auxiliary)  # warm up
    benchmark.new_run()
    with torch.profiler.profile() as record:
        benchmark.scoring(found[0], auxiliary)
    print(record.key_averages().table(sort_by='self_cpu_time_total', row_limit=12))


def main() -> None:
    """Measure and print."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    register_all_modules()
    cfg = Config.fromfile(CONFIG)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        count = max(4, 2 * args.batch_size)
        images = use_images(cfg, args.data, folder, dict(train=count, val=1, test=1))
        benchmark = Benchmark(cfg, args.batch_size)
        if args.profile:
            profile(benchmark, args.profile)
            return
        device = next(benchmark.detector.parameters()).device
        print(
            f'SSD300-VGG16, {images}, {args.batch_size} a batch, {torch.get_num_threads()} '
            f'threads, {device}, median of {args.repeats} by the {args.clock} clock'
        )
        rows = measure(benchmark, args.repeats, CLOCKS[args.clock])

    mean = statistics.mean(row['ratio'] for row in rows)
    print(
        text_table(
            ['layer', 'path', 'scoring [s]', 'iteration [s]', 'ratio'],
            [
                [
                    row['layer'],
                    row['path'],
                    f'{row["scoring_s"]:.3f}',
                    f'{row["iteration_s"]:.3f}',
                    f'{row["ratio"]:.2f}',
                ]
                for row in rows
            ],
        )
    )
    print(f'mean ratio {mean:.3f} (aim: at most {AIM})')
    print(f'drawing the images and their regions, once a run: {benchmark.draw_seconds:.2f} s')
    if args.out:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
        write_text(args.out, text.getvalue())
        print(f'written: {args.out}')


if __name__ == '__main__':
    main()
