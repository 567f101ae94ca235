#!/usr/bin/env python
"""SSD300 on VGG-16 and on smaller backbones: what theory promises, and what the clock says.

Multiply-accumulates and latency of each detector, and how many times less they are than VGG-16's.
The paper of ShuffleNet (Zhang et al., CVPR 2018, section 4.5) found 2.6 times less time on an ARM
processor where there were 4 times less multiply-accumulates.

  python benchmarks/backbones.py
  python benchmarks/backbones.py --threads 1 --rounds 5

The detectors take turns, one image each: whatever else the machine does meets all of them alike.
Factors are medians over the rounds of the ratio to VGG-16 in the same round. On one CPU thread the
time is the processor's, of this process alone; on several it is the wall's, which other work on
the machine lengthens. Weights are random; batch norms are not folded into convolutions; boxes are
not decoded.
"""

import argparse
import statistics
from typing import Any

import torch
from common import ROOT, random_detector
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from mmdet_lcp.analysis.cost import detector_cost, latency_ms, undisturbed_clock
from mmdet_lcp.analysis.latency_table import device_name
from mmdet_lcp.analysis.tables import text_table

SIZE = (300, 300)
REFERENCE = 'VGG-16'
# The config of a detector, and what its backbone has instead.
DETECTORS: dict[str, tuple[str, dict[str, Any]]] = {
    REFERENCE: ('vgg16', {}),
    'ResNet-50': ('r50', {}),
    'MobileNet v1': ('mobilenet_v1', {}),
    'MobileNet v1, 0.5': ('mobilenet_v1', dict(width_mult=0.5)),
    'ShuffleNet v1, 1 group': ('shufflenet_v1', dict(groups=1)),
    'ShuffleNet v1, 3 groups': ('shufflenet_v1', dict(groups=3)),
    'ShuffleNet v1, 8 groups': ('shufflenet_v1', dict(groups=8)),
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--threads', type=int, nargs='+', default=[1, 2], help='numbers of threads (1 2)'
    )
    parser.add_argument('--rounds', type=int, default=9, help='turns of each (default: 9)')
    parser.add_argument('--device', default='cpu', help='cpu (default), or cuda')
    return parser.parse_args()


def build(name: str) -> nn.Module:
    """The detector for the 80 classes of COCO, its levels as wide as what the backbone gives."""
    config, keys = DETECTORS[name]
    cfg = Config.fromfile(ROOT / 'configs' / 'ssd' / f'ssd300_{config}_coco.py')
    if keys:
        cfg.model.backbone.update(keys)
        with torch.no_grad():
            backbone = random_detector(cfg, seed=0).backbone.eval()
            widths = tuple(level.shape[1] for level in backbone(torch.zeros(1, 3, 64, 64)))
        levels = (*widths, *cfg.model.neck.out_channels[len(widths) :])
        cfg.model.neck.update(in_channels=widths, out_channels=levels)
        cfg.model.bbox_head.in_channels = levels
    return random_detector(cfg, seed=0).eval()


def take_turns(
    detectors: dict[str, nn.Module], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Milliseconds of one image of each detector in each round."""
    clock = undisturbed_clock(device)
    times: dict[str, list[float]] = {name: [] for name in detectors}
    for number in range(rounds + 1):
        for name, detector in detectors.items():
            ms = latency_ms(detector, SIZE, runs=1, warmup=1, clock=clock)
            if number:  # in the first round memory is still being made
                times[name].append(ms)
    return times


def factors(times: dict[str, list[float]], name: str) -> float:
    """How many times less one takes than the reference, by the median over the rounds."""
    return statistics.median(
        reference / own for reference, own in zip(times[REFERENCE], times[name], strict=True)
    )


def main() -> None:
    """Measure and print."""
    args = parse_args()
    register_all_modules()
    device = torch.device(args.device)
    detectors = {name: build(name).to(device) for name in DETECTORS}
    costs = {name: detector_cost(detector, SIZE) for name, detector in detectors.items()}
    measured = {}
    for threads in args.threads:
        torch.set_num_threads(threads)
        print(device_name(device), flush=True)
        measured[threads] = take_turns(detectors, args.rounds, device)
    heads = ['backbone', 'parameters', 'MACs', 'fewer MACs']
    heads += [word for n in measured for word in (f'ms, {n} thr.', f'faster, {n} thr.')]
    rows = []
    for name, cost in costs.items():
        row = [name, f'{cost["params"] / 1e6:.2f} M', f'{cost["macs"] / 1e9:.2f} G']
        row.append(f'{costs[REFERENCE]["macs"] / cost["macs"]:.1f}')
        for times in measured.values():
            row += [f'{statistics.median(times[name]):.0f}', f'{factors(times, name):.1f}']
        rows.append(row)
    print(text_table(heads, rows))


if __name__ == '__main__':
    main()
