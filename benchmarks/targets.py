#!/usr/bin/env python
"""Asks for shares of a detector's cost and prints what was reached.

Each detector is pruned from random weights by its filters' L1 norms, without training: what is
measured here is how the target is met. Multiply-accumulates and parameters are counted; latency
is measured on this device, dense and pruned detector in turn.

  OMP_NUM_THREADS=1 python benchmarks/targets.py
  OMP_NUM_THREADS=1 python benchmarks/targets.py --detectors ssd_narrow_vgg --costs latency

Images: the blood cells in data/BCCD (or --data, or $MMDET_LCP_BCCD), else built-in digits. On one
core all of it takes about half an hour, most of it timing the layers of SSD300.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from common import ROOT, random_detector, use_images
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmdet_lcp.config.file import read_config
from mmdet_lcp.registry import RUNNERS
from mmdet_lcp.report.facts import TargetFacts
from mmdet_lcp.report.report import read_report
from mmdet_lcp.report.tables import text_table

# name -> its config in configs/, and the layers that are pruned
DETECTORS = {
    'ssd_narrow_vgg': ('ssd/ssd_narrow_vgg_bccd.py', r'^backbone\.'),
    'ssd300_vgg16': ('ssd/ssd300_vgg16_bccd.py', r'^backbone\.'),
    'faster_rcnn_r18_narrow': ('faster_rcnn/faster_rcnn_r18_narrow_bccd.py', r'.'),
}
COSTS = ('macs', 'params', 'latency')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--detectors', nargs='+', choices=list(DETECTORS), default=list(DETECTORS))
    add('--costs', nargs='+', choices=COSTS, default=COSTS)
    add('--shares', nargs='+', type=float, default=[0.7, 0.5], help='default: 0.7 0.5')
    add('--data', help='BCCD folder with JPEGImages/ and Annotations/')
    return parser.parse_args()


def make_config(name: str, cost: str, share: float, data: str | None, folder: Path) -> Config:
    """A pruning config with a target, few images and a random dense checkpoint."""
    path, layers = DETECTORS[name]
    child = folder / 'child.py'
    bases = [str(ROOT / 'configs' / path), 'mmdet_lcp::_base_/pruning/l1_norm.py']
    child.write_text(f'_base_ = {bases!r}\n')
    cfg = read_config(child, {})
    use_images(cfg, data, folder, dict(train=2, val=2, test=2))
    cfg.pruning.update(
        layers=layers,
        kinds=['single', 'coupled', 'shared'],
        target={cost: share},
        selection=dict(num_images=2),
        norm_statistics='keep',
        retrain=dict(max_epochs=0, lr=1e-3, param_scheduler=None),
        evaluate=(),
    )
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    cfg.randomness = dict(seed=0)
    cfg.log_level = 'WARNING'
    # several runners in one process
    cfg.experiment_name = cfg.visualizer.name = f'{name}_{cost}_{share:g}'
    cfg.work_dir = str(folder / 'run')
    cfg.load_from = str(folder / 'dense.pth')
    torch.save({'state_dict': random_detector(cfg, 0).state_dict()}, cfg.load_from)
    return cfg


def reach(name: str, cost: str, share: float, data: str | None) -> tuple[TargetFacts, float]:
    """Prune one detector; what its report tells of the target, and the seconds it took."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        cfg = make_config(name, cost, share, data, Path(folder))
        RUNNERS.build(cfg).train()
        target = read_report(Path(cfg.work_dir, 'report.json')).target
    return target, time.perf_counter() - begin


def main() -> None:
    """Run and print."""
    args = parse_args()
    register_all_modules()
    rows = []
    for name in args.detectors:
        for cost in args.costs:
            for share in args.shares:
                target, seconds = reach(name, cost, share, args.data)
                rows.append(
                    [
                        name,
                        cost,
                        f'{share:.3f}',
                        f'{target.predicted:.3f}',
                        f'{target.reached:.3f}',
                        f'{100 * (target.reached / share - 1):+.1f} %',
                        f'{seconds:.0f}',
                    ]
                )
                print(' '.join(rows[-1]), flush=True)
    header = ['detector', 'cost', 'asked', 'predicted', 'reached', 'off by', 'seconds']
    print('\n' + text_table(header, rows))


if __name__ == '__main__':
    main()
