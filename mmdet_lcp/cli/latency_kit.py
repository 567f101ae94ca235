"""Write the layers of a detector as files that another device measures, to prune for that device.

CONFIG is a pruning config with a target of latency, such as
  pruning = dict(target=dict(latency=0.5, runtime='ncnn', threads=4))

  mmdet-lcp latency-kit CONFIG --out KIT          # here; the converter is needed, weights are not
  python measure.py --threads 4                   # on the device, in the folder KIT
  mmdet-lcp train CONFIG --cfg-options \\
      pruning.target.latency_table=KIT/times.json pruning.target.any_device=True

`measure.py` needs NumPy and the engine alone. The kit has every layer at the numbers of channels
that the target may come to, and three whole detectors.
"""

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path

from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdet_lcp import CompressionError
from mmdet_lcp.config.cfg_options import CfgOptions
from mmdet_lcp.config.file import read_config
from mmdet_lcp.export.geometry import geometry_of
from mmdet_lcp.measure.runtimes import RUNTIMES, TORCH
from mmdet_lcp.modes import evaluated, frozen
from mmdet_lcp.pruning.config import KEY, PruningConfig
from mmdet_lcp.pruning.job import PruningJob
from mmdet_lcp.pruning.suited import attachable_stages
from mmdet_lcp.pruning.targets.latency_model import write_latency_kit
from mmdet_lcp.pruning.targets.stopwatches import RuntimeStopwatch


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='a pruning config with a target of latency')
    add('--out', required=True, metavar='DIR', help='the folder of the kit')
    add(
        '--runtime',
        choices=[name for name in RUNTIMES if name != TORCH],
        help=f"default: CONFIG's {KEY}.target.runtime",
    )
    add(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help="of the image that the network is given; default: from CONFIG's test pipeline",
    )
    add(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='set keys of CONFIG, e.g. pruning.target.max_ratio=0.9',
    )
    return parser.parse_args(argv)


def laid_out(cfg: Config, pruning: PruningConfig, size: Sequence[int] | None) -> PruningJob:
    """The detector of a config with random weights, and the groups that a run would prune."""
    register_all_modules(init_default_scope=False)
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    detector = evaluated(MODELS.build(cfg.model))
    shape = geometry_of(cfg, detector.data_preprocessor, size).size
    spare = pruning.takes_all
    job = PruningJob.lay_out(detector, frozen(copy.deepcopy(detector)), shape, pruning, 0, spare)
    if pruning.attachment is not None:
        job.stages, _ = attachable_stages(detector, job.stages, pruning.attachment, spare)
    return job


def main(argv: Sequence[str] | None = None) -> int:
    """Write the kit.

    Returns:
        The exit status.
    """
    args = parse_args(argv)
    try:
        cfg = read_config(args.config, args.cfg_options)
        pruning = PruningConfig.from_cfg(cfg)
        target = pruning.target
        runtime = args.runtime or (None if target is None else target.runtime)
        if target is None or target.latency is None:
            raise CompressionError(
                f'{args.config}: asks for no latency: {KEY} = dict(target=dict(latency=0.5, '
                "runtime='ncnn'))"
            )
        if runtime in (None, TORCH):
            raise CompressionError(
                f'{args.config}: names no runtime: give --runtime, or {KEY}.target.runtime'
            )
        job = laid_out(cfg, pruning, args.size)
        kit = write_latency_kit(
            Path(args.out),
            job.dense,
            [stage.group for stage in job.stages],
            [stage.keep for stage in job.stages],
            job.image_size,
            RuntimeStopwatch(runtime=runtime),
            print,
        )
        files = len(list(kit.iterdir()))
        print(f'written: {kit}, {files} files; run `python measure.py` in it on the device')
        return 0
    except CompressionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
