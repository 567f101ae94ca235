#!/usr/bin/env python
"""Cost of the detectors of several configs: parameters, multiply-accumulates, latency.

The first is the reference of the factors. Pruned detectors are given by the pruned_config.py of
their runs. Weights are random; images have the size of each config's test pipeline; boxes are not
decoded, batch norms not folded.

  python benchmarks/detectors.py configs/ssd/ssd_narrow_vgg_bccd.py \\
      configs/ssd/ssd_mobilenet_v1_bccd.py work_dirs/my_run/pruned_config.py --threads 1
"""

import argparse
from pathlib import Path

import torch
from common import random_detector
from mmdet.utils import register_all_modules
from mmengine.config import Config
from side_by_side import cost_table

from mmdet_lcp.config.file import read_config


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('configs', nargs='+', metavar='CONFIG', help='configs of detectors')
    add('--threads', type=int, nargs='+', default=[1, 2], help='numbers of threads (1 2)')
    add('--rounds', type=int, default=9, help='turns of each (default: 9)')
    add('--device', default='cpu', help='cpu (default), or cuda')
    return parser.parse_args()


def name_of(path: str) -> str:
    """A config's name; of the file that a run hands out, the run's."""
    own = Path(path)
    return own.parent.name if own.stem.endswith('_config') else own.stem


def image_size(cfg: Config) -> tuple[int, int]:
    """(height, width) to which the test pipeline brings images."""
    pipeline = cfg.test_dataloader.dataset.pipeline
    width, height = next(step['scale'] for step in pipeline if step['type'] == 'Resize')
    return height, width


def main() -> None:
    """Measure and print."""
    args = parse_args()
    register_all_modules()
    device = torch.device(args.device)
    detectors, sizes = {}, {}
    for path in args.configs:
        cfg = read_config(path, {})
        name = name_of(path)
        sizes[name] = image_size(cfg)
        detectors[name] = random_detector(cfg, seed=0).eval().to(device)
    print(cost_table(detectors, sizes, args.threads, args.rounds, device))


if __name__ == '__main__':
    main()
