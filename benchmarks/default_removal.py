#!/usr/bin/env python
"""How much of a detector the default takes away, beside one ratio of the backbone's single layers.

Each detector is laid out with random weights on noise, as a run lays it out: half of the
multiply-accumulates of the whole detector over all groups (configs/_base_/pruning/lcp_exact.py),
shared out by the costs of the criterion; and half of the channels of what can be pruned alone in
the backbone, which was the default once. Nothing is trained: how much goes does not depend on it.

  OMP_NUM_THREADS=1 python benchmarks/default_removal.py
  OMP_NUM_THREADS=1 python benchmarks/default_removal.py --detectors YOLOX-tiny --criterion l2_norm

The exact criterion takes minutes for a large detector; `--criterion l2_norm` a few seconds.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from mmdet_lcp.config.file import read_config
from mmdet_lcp.coverage.detectors import REGIONS, build, few_regions, plain_model
from mmdet_lcp.coverage.synthetic import synthetic_batch
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.following_norms import following_norms
from mmdet_lcp.graph.forward import is_two_stage
from mmdet_lcp.modes import frozen
from mmdet_lcp.pruning.config import KEY, PruningConfig
from mmdet_lcp.pruning.forecast import Forecast
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.share_out import share_out
from mmdet_lcp.report.tables import markdown_table
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.proposals import proposed_regions

SIZE = 128
OLD = dict(layers=r'^backbone\.', kinds=('single',), ratio=0.5, channel_divisor=1)


def r18(model: dict[str, Any]) -> None:
    """Put a ResNet-18 into a detector on ResNet-50."""
    model['backbone']['depth'] = 18
    model['neck']['in_channels'] = [64, 128, 256, 512]


@dataclass(frozen=True)
class Tried:
    """A detector.

    Attributes:
        config: its config.
        change: of its `model`, in place.
    """

    config: str
    change: Callable[[dict[str, Any]], None] = lambda model: None

    def build(self) -> nn.Module:
        """With random weights, nothing is downloaded."""
        cfg = read_config(self.config)
        model = few_regions(plain_model(cfg.model.to_dict()))
        self.change(model)
        return build(Config(dict(model=model)))


DETECTORS = {
    'RetinaNet-R18': Tried('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'),
    'RTMDet-tiny': Tried('mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'),
    'YOLOX-tiny': Tried('mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'),
    'RetinaNet EfficientNet-B3': Tried(
        'mmdet::efficientnet/retinanet_effb3_fpn_8xb4-crop896-1x_coco.py'
    ),
    'Cascade R-CNN R18': Tried('mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py', r18),
    'RetinaNet PVTv2-b0': Tried('mmdet::pvt/retinanet_pvtv2-b0_fpn_1x_coco.py'),
    'SSD narrow VGG': Tried('mmdet_lcp::ssd/ssd_narrow_vgg_bccd.py'),
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--detectors', nargs='+', choices=list(DETECTORS), default=list(DETECTORS))
    add('--criterion', default='lcp_exact', help='a fragment of configs/_base_/pruning/')
    add('--images', type=int, default=2, help='default: 2')
    return parser.parse_args()


def lay_out(detector: nn.Module, config: PruningConfig, count: int) -> PruningJob:
    """A job with the numbers of channels that a run comes to."""
    dense = frozen(copy.deepcopy(detector))
    job = PruningJob.lay_out(detector, dense, (SIZE, SIZE), config, 0, config.takes_all)
    if config.target is not None:
        inputs, samples = synthetic_batch(count, SIZE, detector)
        regions = None
        if is_two_stage(dense):
            regions = proposed_regions(dense, inputs, samples, REGIONS)
        batches = [SelectionImages(inputs, None, samples, regions)]
        norms = following_norms(dense, (SIZE, SIZE))
        images = SelectionSet(batches, 2**30, config.selection.positions, norms)
        job.see(images)
        with tempfile.TemporaryDirectory() as folder:
            job.share_out(share_out(job, config, Path(folder), lambda line: None))
    return job


def removed(detector: nn.Module, config: PruningConfig, count: int) -> str:
    """Share of the multiply-accumulates that goes; or why none.

    Of a two-stage detector at the number of proposals that the dense one makes.
    """
    try:
        job = lay_out(copy.deepcopy(detector), config, count)
    except CompressionError as error:
        return str(error).partition('\n')[0]
    share = Forecast(job.dense, job.groups, job.image_size).macs_removed(job.stages)
    return f'{100 * share:.1f} %'


def main() -> None:
    """Run and print."""
    args = parse_args()
    register_all_modules()
    pruning = read_config(f'mmdet_lcp::_base_/pruning/{args.criterion}.py')[KEY].to_dict()
    rows = []
    for name in args.detectors:
        began = time.process_time()
        detector = DETECTORS[name].build()
        cells = [
            removed(detector, PruningConfig.from_cfg({KEY: {**pruning, **keys}}), args.images)
            for keys in (OLD, {})
        ]
        rows.append([name, *cells, f'{time.process_time() - began:.0f}'])
        print(' | '.join(rows[-1]), flush=True)
    header = ['detector', 'single layers of the backbone, 0.5', 'the default', 'CPU seconds']
    print('\n' + markdown_table(header, rows))


if __name__ == '__main__':
    main()
