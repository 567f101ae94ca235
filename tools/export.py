#!/usr/bin/env python
"""Export a single-stage detector to ONNX, and to eight-bit integers; measure them side by side.

  python tools/export.py my_ssd300.py my_ssd300.pth --out my_ssd300.onnx
  # my_ssd300.int8.onnx too, calibrated on 64 training images; mAP and latency of all three
  python tools/export.py my_ssd300.py my_ssd300.pth --out my_ssd300.onnx --int8 64 --evaluate

A pruned or compressed detector (pruned_config.py, compressed_config.py) is exported likewise.
Needs the extra: pip install 'mmdet_lcp[export]'. Latency is that of the network on one image, on
the CPU, with as many threads as OMP_NUM_THREADS says.
"""

import argparse
import copy
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config, DictAction
from mmengine.runner import Runner
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.config.file import read_config
from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.export import (
    calibration_images,
    export_onnx,
    onnx_detector,
    open_session,
    quantize_int8,
    session_latency_ms,
)
from mmdet_lcp.export.int8 import METHODS
from mmdet_lcp.measure.cost import paired_latency_ms
from mmdet_lcp.report.tables import format_bytes, text_table


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help="the detector's config")
    add('checkpoint', metavar='CHECKPOINT', help='its weights (*.pth)')
    add('--out', required=True, metavar='FILE', help='the file to write (*.onnx)')
    add('--int8', type=int, metavar='N', help='write FILE.int8.onnx, calibrated on N images')
    add('--calibration', choices=METHODS, default='minmax', help='default: minmax')
    add(
        '--keep', metavar='REGEX', help='nodes of the network that stay in full precision, by name'
    )
    add('--evaluate', action='store_true', help='measure mAP on the test set, and latency')
    add('--seed', type=int, default=0, help='of the drawing of calibration images')
    add(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='set keys of CONFIG',
    )
    return parser.parse_args(argv)


def load(cfg: Config, checkpoint: str) -> nn.Module:
    """The detector, on the CPU, in evaluation mode."""
    if 'model' not in cfg:
        raise CompressionError('the config has no `model`: it is no detector')
    detector = MODELS.build(copy.deepcopy(cfg.model))
    load_detector(detector, checkpoint)
    return detector.eval()


def image_size(cfg: Config, detector: nn.Module) -> tuple[int, int]:
    """(height, width) in pixels of the images of the test set."""
    return calibration_images(cfg, detector, 1)[0].shape[-2:]


def metrics(cfg: Config, detectors: Sequence[nn.Module]) -> list[dict[str, float]]:
    """Metrics of each on the test set, mAP among them."""
    plain: dict[str, Any] = cfg.to_dict()
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler',
                'runner_type', 'load_from', 'resume', 'custom_hooks', 'auto_scale_lr',
                'val_dataloader', 'val_cfg', 'val_evaluator'):  # fmt: skip
        plain.pop(key, None)
    with tempfile.TemporaryDirectory() as folder:
        plain['work_dir'] = folder
        runner = Runner.from_cfg(Config(plain))
        runner.call_hook('before_run')
        found = []
        for detector in detectors:
            runner.model = detector
            found.append({key: float(value) for key, value in runner.test_loop.run().items()})
    return found


def export(args: argparse.Namespace) -> None:
    """Write the files; measure if that is wanted."""
    out = Path(args.out)
    if out.suffix != '.onnx':
        raise CompressionError(f'--out {out}: the name of an ONNX file ends in .onnx')
    cfg = read_config(args.config, args.cfg_options)
    register_all_modules()
    detector = load(cfg, args.checkpoint)
    size = image_size(cfg, detector)
    out.parent.mkdir(parents=True, exist_ok=True)
    export_onnx(detector, size, out)
    files = {'ONNX Runtime, float32': out}
    if args.int8 is not None:
        target = out.with_suffix('.int8.onnx')
        images = calibration_images(cfg, detector, args.int8, args.seed)
        quantize_int8(out, target, images, args.calibration, args.keep)
        files['ONNX Runtime, int8'] = target
    print(
        'written: ' + ', '.join(f'{f} ({format_bytes(f.stat().st_size)})' for f in files.values())
    )
    if args.evaluate:
        print(measured(cfg, detector, args.checkpoint, files, size))


def measured(
    cfg: Config,
    detector: nn.Module,
    checkpoint: str,
    files: dict[str, Path],
    size: tuple[int, int],
) -> str:
    """A table of mAP, latency and size, one row a form."""
    sessions = [open_session(path) for path in files.values()]
    forms = [detector, *(onnx_detector(detector, session, size) for session in sessions)]
    found = metrics(cfg, forms)
    keys = [key for key in found[0] if key.endswith(('mAP', 'mAP_50', 'mAP_75', 'AP50'))]
    latencies = [paired_latency_ms(detector, detector, size)[0]]
    latencies += session_latency_ms(sessions, size)
    sizes = [path.stat().st_size for path in (Path(checkpoint), *files.values())]
    rows = [
        [name, *(f'{row[key]:.3f}' for key in keys), f'{latency:.1f} ms', format_bytes(size)]
        for name, row, latency, size in zip(
            ['PyTorch, float32', *files], found, latencies, sizes, strict=True
        )
    ]
    threads = f'{torch.get_num_threads()} threads'
    return text_table([threads, *(key.split('/')[-1] for key in keys), 'latency', 'file'], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Returns:
        The exit status.
    """
    try:
        export(parse_args(argv))
        return 0
    except CompressionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
