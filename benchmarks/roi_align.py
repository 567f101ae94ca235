#!/usr/bin/env python
"""Measures average RoIAlign on the CPU: ours beside mmcv's, forward and backward, in turns.

The maps are those of the narrow VGG at 192 x 192, shallow to deep, with a batch of 8 images and
150 regions an image, 3 x 3 bins of 2 x 2 points: what LCP's auxiliary network reads.

  python benchmarks/roi_align.py
  python benchmarks/roi_align.py --threads 2 --rounds 9

The ratios of one run are what counts.
"""

import argparse
import statistics
from collections.abc import Callable

import torch
from mmcv.ops import roi_align as mmcv_roi_align
from torch import Tensor

from mmdet_lcp.measure.latency import undisturbed_clock
from mmdet_lcp.ops import roi_align
from mmdet_lcp.report.tables import text_table

IMAGE_SIZE, BATCH, REGIONS, BINS = 192, 8, 150, 3
MAPS = [(16, 192), (32, 96), (64, 48), (128, 24), (128, 12)]  # channels, side


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--threads', type=int, default=1, help='CPU threads (default: 1)')
    parser.add_argument(
        '--rounds', type=int, default=5, help='turns, of which the median counts (default: 5)'
    )
    return parser.parse_args()


def regions(seed: int) -> Tensor:
    """Random boxes (R, 5) of 10 to 110 pixels, some over the image's edge."""
    generator = torch.Generator().manual_seed(seed)
    count = BATCH * REGIONS
    corner = torch.rand(count, 2, generator=generator) * (IMAGE_SIZE - 20) - 10
    extent = torch.rand(count, 2, generator=generator) * 100 + 10
    image = torch.randint(0, BATCH, (count, 1), generator=generator)
    return torch.cat([image, corner, corner + extent], 1)


def seconds(
    pool: Callable[[Tensor], Tensor], features: Tensor, clock: Callable[[], float]
) -> tuple[float, float]:
    """Of one forward and of one backward pass."""
    leaf = features.clone().requires_grad_()
    begin = clock()
    out = pool(leaf)
    middle = clock()
    out.backward(torch.ones_like(out))
    return middle - begin, clock() - middle


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    clock = undisturbed_clock(torch.device('cpu'))
    rois = regions(seed=0)
    rows = []
    for channels, side in MAPS:
        features = torch.randn(BATCH, channels, side, side)
        scale = side / IMAGE_SIZE
        operators = {
            'mmcv': lambda f, s=scale: mmcv_roi_align(f, rois, (BINS, BINS), s, 2, 'avg', True),
            'ours': lambda f, s=scale: roi_align(f, rois, BINS, s),
        }
        times = {name: [] for name in operators}
        for _ in range(args.rounds + 1):
            for name, pool in operators.items():
                times[name].append(seconds(pool, features, clock))
        row = [f'{channels} x {side} x {side}']
        for direction in (0, 1):
            medians = {
                name: statistics.median(pair[direction] for pair in pairs[1:])
                for name, pairs in times.items()
            }
            row += [f'{1000 * medians[name]:.1f}' for name in operators]
            row.append(f'{medians["mmcv"] / medians["ours"]:.1f}')
        rows.append(row)
    heads = ['map']
    for direction in ('forward', 'backward'):
        heads += [f'{direction}, mmcv [ms]', 'ours [ms]', 'ratio']
    print(text_table(heads, rows))


if __name__ == '__main__':
    main()
