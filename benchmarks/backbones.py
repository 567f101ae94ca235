#!/usr/bin/env python
"""SSD300 on VGG-16 and on smaller backbones: what theory promises, and what the clock says.

Multiply-accumulates and latency of each detector, and how many times less they are than VGG-16's.
The paper of ShuffleNet (Zhang et al., CVPR 2018, section 4.5) found 2.6 times less time on an ARM
processor where there were 4 times less multiply-accumulates.

  python benchmarks/backbones.py
  python benchmarks/backbones.py --threads 1 --rounds 5

Latencies are measured in turns, see side_by_side.py; on several threads other work on the machine
lengthens them. Weights are random; batch norms are not folded into convolutions; boxes are
not decoded.
"""

import argparse
from typing import Any

import torch
from common import ROOT, random_detector
from mmdet.utils import register_all_modules
from mmengine.config import Config
from side_by_side import cost_table
from torch import nn

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


def main() -> None:
    """Measure and print."""
    args = parse_args()
    register_all_modules()
    device = torch.device(args.device)
    detectors = {name: build(name).to(device) for name in DETECTORS}
    sizes = dict.fromkeys(detectors, SIZE)
    print(cost_table(detectors, sizes, args.threads, args.rounds, device))


if __name__ == '__main__':
    main()
