#!/usr/bin/env python
"""Measures seconds and peak memory of a method's selection, and how both grow.

A sweep is that of `criteria_cost.py`: every group once, without any training. Each runs in a
process of its own, whose peak memory is told with that before the sweep; seconds are the
process's own CPU seconds, since other work may run beside it.

  python benchmarks/selection_growth.py                                # narrow SSD, 16 images
  python benchmarks/selection_growth.py --model vgg16 --methods lcp_exact
  python benchmarks/selection_growth.py --images 16 64 256
  python benchmarks/selection_growth.py --groups 1 4 13
  python benchmarks/selection_growth.py --width 128 256 512 1024       # one layer, made up

With ``--width`` one consumer of so many channels with 3x3 kernels and as many outputs is taken
from made-up rows, as many as 16 images give, and half of its channels go: what least squares and
elimination cost by themselves.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from common import ROOT
from criteria_cost import Ground, config_of
from mmdet.utils import register_all_modules
from torch import nn

from mmdet_lcp.pruning.criteria import BackwardElimination
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.pruning.updates import ExactUpdate
from mmdet_lcp.report.tables import text_table
from mmdet_lcp.selection.positions import Positions

CONFIGS = {
    'narrow': ROOT / 'configs' / 'lcp' / 'compare_bccd.py',
    'vgg16': ROOT / 'configs' / 'lcp' / 'compare_ssd300_vgg16_bccd.py',
}
Measured = tuple[float, float, float]  # CPU seconds, gigabytes before, at the peak


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model', choices=CONFIGS, default='narrow')
    parser.add_argument('--methods', nargs='+', default=['l1_norm', 'taylor', 'lcp_exact'])
    parser.add_argument('--images', nargs='+', type=int, default=[16], metavar='N')
    parser.add_argument('--groups', nargs='+', type=int, metavar='N', help='the first N alone')
    parser.add_argument('--width', nargs='+', type=int, metavar='CHANNELS', help='see above')
    parser.add_argument('--ratio', type=float, default=0.5, help='default: 0.5')
    parser.add_argument('--threads', type=int, default=1, help='threads of torch (default: 1)')
    parser.add_argument('--data', help='BCCD folder with JPEGImages/ and Annotations/')
    return parser.parse_args()


def gigabytes() -> float:
    """The process's peak memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measured(run: Callable[[], None]) -> Measured:
    """Run something once."""
    before, began = gigabytes(), time.process_time()
    run()
    return time.process_time() - began, before, gigabytes()


def sweep(args: argparse.Namespace, method: str, images: int, groups: int | None) -> Measured:
    """One method over a detector, in a fresh process."""
    torch.set_num_threads(args.threads)
    register_all_modules()
    args.num_images = images
    with tempfile.TemporaryDirectory() as folder:
        cfg = config_of(method, args, Path(folder), CONFIGS[args.model])
        ground = Ground(cfg)
        if groups is not None:
            ground.groups = ground.groups[:groups]
        return measured(lambda: ground.sweep(cfg, time.process_time))


def one_layer(args: argparse.Namespace, width: int) -> Measured:
    """The exact criterion and update on a made-up layer, in a fresh process."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    maps = torch.relu(torch.randn(16, width, 22, 22))
    conv = nn.Conv2d(width, width, 3, padding=1)
    with torch.no_grad():
        written = conv(maps) + 0.1 * torch.randn(16, width, 22, 22)
    channels = torch.arange(width)
    problem = SelectionProblem(
        'made up',
        width,
        {'conv': Layer(conv, channels, channels)},
        {},
        BatchCache(lambda: [SelectionBatch({'conv': maps}, {'conv': written}, None)]),
        positions=Positions(objects=0.0),
    )

    def run() -> None:
        keep = round(width * (1 - args.ratio))
        found = BackwardElimination(metric='variance').select(problem, keep)
        ExactUpdate().apply(problem, found.keep)

    return measured(run)


def alone(function: Callable[..., Measured], *args: object) -> list[str]:
    """A measurement in a process of its own, as three cells of a table."""
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        seconds, before, peak = pool.submit(function, *args).result()
    cells = [f'{seconds:.2f}', f'{before:.2f}', f'{peak:.2f}']
    print(*[value for value in args[1:] if value is not None], *cells, flush=True)
    return cells


def main() -> None:
    """Measure and print."""
    args = parse_args()
    units = ['CPU seconds', 'GB before', 'GB at the peak']
    if args.width:
        rows = [[str(width), *alone(one_layer, args, width)] for width in args.width]
        print(text_table(['channels', *units], rows))
        return
    rows = [
        [method, str(images), str(groups or 'all'), *alone(sweep, args, method, images, groups)]
        for method in args.methods
        for images in args.images
        for groups in args.groups or [None]
    ]
    title = f'{args.model}, {args.threads} thread(s)'
    print(text_table(['method', 'images', 'groups', *units], rows, title=title))


if __name__ == '__main__':
    main()
