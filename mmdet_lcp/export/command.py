"""The command that exports a detector: arguments, and calls.

  python tools/export.py my_ssd300.py my_ssd300.pth --out my_ssd300.onnx

writes a file that takes images as they are read, (N, H, W, 3) uint8, and reports `dets`
(N, K, 5: x1, y1, x2, y2 in pixels of the input, score) and `labels` (N, K); of detectors with
masks `masks`, too. It is run by ONNX Runtime before it is kept and has to detect what mmdet
detects. A page about it lies beside it (.md). A pruned or compressed detector (pruned_config.py,
compressed_config.py) is exported likewise.

  --decoded        boxes and scores of all candidates, for runtimes without NMS
  --raw            the head's outputs, with what is needed to decode them (.json)
  --preprocessed   it takes (N, 3, H, W) float32, resized and normalised by the caller

Needs the extra: pip install 'mmdet_lcp[export]'. Latency (--evaluate) is that of the network on
one image, on the CPU, with as many threads as OMP_NUM_THREADS says.
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

from mmdet_lcp.config.file import read_config
from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.calibration import calibration_images
from mmdet_lcp.export.classes import class_names
from mmdet_lcp.export.detector_file import PICTURES, ExportResult, checked, export_detector
from mmdet_lcp.export.geometry import geometry_of
from mmdet_lcp.export.int8 import METHODS, quantize_int8
from mmdet_lcp.export.onnx_detector import onnx_detector, open_session, session_latency_ms
from mmdet_lcp.export.onnx_file import export_onnx
from mmdet_lcp.export.photos import first_photos
from mmdet_lcp.measure.cost import paired_latency_ms
from mmdet_lcp.measure.file_size import weight_bytes
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
    form = parser.add_mutually_exclusive_group()
    form.add_argument('--raw', action='store_true', help="write the head's outputs")
    form.add_argument('--decoded', action='store_true', help='write all candidates, without NMS')
    add('--preprocessed', action='store_true', help='take normalised float32 images')
    add(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help="of the input, in pixels; default: the test pipeline's",
    )
    add('--batch', type=_batch, metavar='N', help="images at once, or 'any' (default, if it can)")
    add('--opset', type=int, metavar='N', help='16 to 20; default: 17, or what the detector needs')
    add('--score-thr', type=float, metavar='P', help='least score, in [0, 1]')
    add('--iou-thr', type=float, metavar='IOU', help='overlap that suppresses, in [0, 1]')
    add('--nms-pre', type=int, metavar='N', help='candidates of a level before NMS')
    add('--max-per-img', type=int, metavar='N', help='detections of an image')
    add(
        '--int8',
        type=int,
        metavar='N',
        help="write FILE.int8.onnx, the network with the head's outputs, calibrated on N images",
    )
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


def _batch(text: str) -> int | str:
    return text if text == 'any' else int(text)


def export(args: argparse.Namespace) -> None:
    """Write the files; measure if that is wanted."""
    out = Path(args.out)
    if out.suffix != '.onnx':
        raise CompressionError(f'--out {out}: the name of an ONNX file ends in .onnx')
    cfg = read_config(args.config, args.cfg_options)
    register_all_modules()
    detector, meta = load(cfg, args.checkpoint)
    out.parent.mkdir(parents=True, exist_ok=True)
    result = write(args, cfg, detector, meta, out)
    print(f'written: {out} ({format_bytes(out.stat().st_size)}), {result.description["form"]}')
    print(checked(result.agreement, result.description['form']))
    if args.int8 is not None or args.evaluate:
        given = result.description['input']
        measure_int8(args, cfg, detector, out, (given['height'], given['width']))


def load(cfg: Config, checkpoint: str) -> tuple[nn.Module, dict[str, Any]]:
    """The detector, on the CPU, in evaluation mode, and the checkpoint's `meta`."""
    if 'model' not in cfg:
        raise CompressionError('the config has no `model`: it is no detector')
    detector = MODELS.build(copy.deepcopy(cfg.model))
    meta = load_detector(detector, checkpoint)
    return detector.eval(), meta


def write(
    args: argparse.Namespace, cfg: Config, detector: nn.Module, meta: dict[str, Any], out: Path
) -> ExportResult:
    """The file that was asked for."""
    geometry = geometry_of(cfg, detector.data_preprocessor, args.size)
    photos = first_photos(cfg, geometry, 3, PICTURES)
    if photos is None:
        print('the test set cannot be read here: the file is tried on drawn pictures')
    return export_detector(
        detector,
        geometry,
        out,
        form='raw' if args.raw else 'decoded' if args.decoded else 'end-to-end',
        pixels=not args.preprocessed,
        batch=args.batch,
        opset=args.opset,
        classes=class_names(cfg, meta),
        plan=cfg.model.get('plan'),
        images=photos,
        score_thr=args.score_thr,
        iou_thr=args.iou_thr,
        nms_pre=args.nms_pre,
        max_per_img=args.max_per_img,
    )


def measure_int8(
    args: argparse.Namespace,
    cfg: Config,
    detector: nn.Module,
    out: Path,
    size: tuple[int, int],
) -> None:
    """Write the eight-bit network, and print how the forms compare."""
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder, 'network.onnx')
        export_onnx(detector, size, network)
        files = {'ONNX Runtime, float32': network}
        if args.int8 is not None:
            target = out.with_suffix('.int8.onnx')
            images = calibration_images(cfg, detector, args.int8, args.seed)
            quantize_int8(network, target, images, args.calibration, args.keep)
            files['ONNX Runtime, int8'] = target
            print(f'written: {target} ({format_bytes(target.stat().st_size)})')
        if args.evaluate:
            print(measured(cfg, detector, files, size))


def metrics(cfg: Config, detectors: Sequence[nn.Module]) -> list[dict[str, float]]:
    """Metrics of each on the test set, mAP among them."""
    if not cfg.get('test_dataloader'):
        raise CompressionError('the config has no test_dataloader: there is nothing to measure on')
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


def measured(
    cfg: Config,
    detector: nn.Module,
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
    # without an optimizer, which a checkpoint of a training holds too
    sizes = [weight_bytes(detector), *(path.stat().st_size for path in files.values())]
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
