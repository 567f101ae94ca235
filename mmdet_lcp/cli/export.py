"""Write a detector as one file that takes photos and reports boxes.

  mmdet-lcp export my_ssd300.py my_ssd300.pth --out my_ssd300.onnx
  mmdet-lcp export pruned_config.py pruned.pth --out small.onnx --int8 --evaluate
  mmdet-lcp export pruned_config.py pruned.pth --out small.onnx --to openvino
  mmdet-lcp detect small.onnx photo.jpg --out seen.jpg

The file takes images as they are read, (N, H, W, 3) uint8, and reports `dets` (N, K, 5: x1, y1,
x2, y2 in pixels of the input, score) and `labels` (N, K); of detectors with masks `masks`, too.
It is run before it is kept and has to detect what mmdet detects. A page about it lies beside it
(.md).

  --decoded        boxes and scores of all candidates, for engines without NMS
  --raw            the head's outputs, with what is needed to decode them (.json)
  --preprocessed   it takes (N, 3, H, W) float32, resized and normalised by the caller
  --to ENGINE      the file for another engine too; ncnn and litert take decoded ones, which is
                   what is written then
  --int8           FILE.int8.onnx too, chosen among several by what each loses on this machine

Needs the extra: pip install 'mmdet_lcp[export]', and that of the engine.
"""

import argparse
import copy
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from mmdet_lcp.config.cfg_options import CfgOptions
from mmdet_lcp.config.file import read_config
from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.calibration import file_images
from mmdet_lcp.export.classes import class_names
from mmdet_lcp.export.convert import TARGETS, check_installed, convert, converter_of
from mmdet_lcp.export.convert.openvino_int8 import write_openvino_int8
from mmdet_lcp.export.detector_file import PICTURES, ExportResult, checked, export_detector
from mmdet_lcp.export.evaluation import (
    FileDetector,
    TestSet,
    latencies_ms,
    validation_metric,
)
from mmdet_lcp.export.geometry import geometry_of
from mmdet_lcp.export.int8 import METHODS
from mmdet_lcp.export.int8_choice import choose_int8
from mmdet_lcp.export.needs import needed
from mmdet_lcp.export.outcome import Outcome
from mmdet_lcp.export.photos import first_photos, photo_paths
from mmdet_lcp.export.scenes import scenes
from mmdet_lcp.export.sizes import dense_bytes, weight_bytes
from mmdet_lcp.modes import evaluated
from mmdet_lcp.report.tables import format_bytes, text_table
from mmdet_lcp_runtime import DetectionError
from mmdet_lcp_runtime.telling import tell

CALIBRATION_IMAGES = 64
INT8_TARGETS = ('openvino',)  # of the other engines' files none is written in eight bits


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
    add('--to', choices=TARGETS, metavar='ENGINE', help=f'also write it for {", ".join(TARGETS)}')
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
        nargs='?',
        const=CALIBRATION_IMAGES,
        metavar='N',
        help='also write it in eight bits, calibrated on N training images (default: %(const)s)',
    )
    add('--calibration', choices=METHODS, default='minmax', help='default: minmax')
    add(
        '--keep',
        metavar='heads|auto|REGEX',
        help="what stays in full precision: the heads' last layers; these and the layers that "
        'lose most, as far as that helps; or nodes by name',
    )
    add(
        '--evaluate',
        action='store_true',
        help='measure mAP on the test set, and latency; --int8 then chooses by mAP on the '
        'validation set',
    )
    add('--seed', type=int, default=0, help='of the drawing of calibration images')
    add(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='set keys of CONFIG',
    )
    return parser.parse_args(argv)


def _batch(text: str) -> int | str:
    if text != 'any' and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: take a whole number from 1, or 'any'")
    return text if text == 'any' else int(text)


def check(args: argparse.Namespace) -> None:
    """Refuse what does not go together, before anything is read.

    Raises:
        CompressionError: see above.
    """
    if Path(args.out).suffix != '.onnx':
        raise CompressionError(f'--out {args.out}: the name of an ONNX file ends in .onnx')
    for option, given in (('--to', args.to), ('--evaluate', args.evaluate)):
        if args.raw and given:
            raise CompressionError(
                f"{option} needs boxes, and a raw file has the head's outputs: leave --raw out"
            )
    if args.int8 is None and args.keep:
        raise CompressionError(f'--keep {args.keep} is about eight bits: add --int8')
    if args.int8 is not None:
        check_int8(args)
    if args.to:
        check_installed(args.to)


def check_int8(args: argparse.Namespace) -> None:
    """The same of eight bits."""
    if args.int8 < 1:
        raise CompressionError(f'--int8 {args.int8}: {args.int8} images; take one or more')
    if args.to and args.to not in INT8_TARGETS:
        raise CompressionError(
            f'--int8 --to {args.to}: eight bits are written for ONNX Runtime (without --to) and '
            f'{", ".join(INT8_TARGETS)}'
        )
    if args.to and args.keep == 'auto':
        raise CompressionError(
            "--keep auto is for ONNX Runtime's eight bits; with --to take --keep heads, or leave "
            'it out: NNCF chooses itself'
        )
    if args.to:
        needed('nncf', args.to)


def export(args: argparse.Namespace) -> None:
    """Write the files; measure if that is wanted; say what came of it."""
    check(args)
    out = Path(args.out)
    cfg = read_config(args.config, args.cfg_options)
    register_all_modules()
    detector, meta = load(cfg, args.checkpoint)
    data = TestSet(cfg) if args.evaluate else None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CompressionError(f'--out {out}: its folder cannot be made ({error})') from error
    result = write(args, cfg, detector, meta, out)
    about = result.description
    told = Outcome(weight_bytes(detector), dense_bytes(cfg))
    told.add(out, f'{about["form"]}, opset {about["versions"]["opset"]}; ONNX Runtime')
    told.compared.append(f'{out.name}: {checked(result.agreement, about["form"])}')
    tell(f'written: {out}')
    for each in about.get('left_out', ()):
        tell(
            f'the detector also finds {each}: a {about["form"]} file leaves them out; of two '
            'stages one for ONNX Runtime or OpenVINO without --decoded has them'
        )
    if args.to:
        made = convert(out, args.to, module=result.module)
        told.add(made.path, args.to)
        told.compared.append(f'{made.path.name} with {out.name}, made images: {made.difference}')
        tell(f'written: {made.path}')
    if args.int8 is not None:
        write_int8(args, cfg, about, out, told)
    photo = next((paths[0] for paths in photo_paths(cfg, 1) if paths), 'photo.jpg')
    if about['form'] == 'raw':
        told.next = f'what the outputs are says {out.with_suffix(".json")}'
    else:
        words = ['mmdet-lcp', 'detect', str(told.last), photo, '--out', 'seen.jpg']
        told.next = shlex.join(words)
    if data:
        given = about['input']
        size = (given['height'], given['width'], given['channels'])
        tell(measured(data, detector, told, size))
    tell(told)


def load(cfg: Config, checkpoint: str) -> tuple[nn.Module, dict[str, Any]]:
    """The detector, on the CPU, in evaluation mode, and the checkpoint's `meta`."""
    if 'model' not in cfg:
        raise CompressionError('the config has no `model`: it is no detector')
    detector = MODELS.build(copy.deepcopy(cfg.model))
    meta = load_detector(detector, checkpoint)
    return evaluated(detector), meta


def form_of(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `export_detector`: what was asked for, else what the engine takes."""
    takes = converter_of(args.to).TAKES if args.to else {}
    asked = 'raw' if args.raw else 'decoded' if args.decoded else None
    return {
        'form': asked or takes.get('form', 'end-to-end'),
        'pixels': not args.preprocessed and takes.get('pixels', True),
        'batch': takes.get('batch') if args.batch is None else args.batch,
    }


def write(
    args: argparse.Namespace, cfg: Config, detector: nn.Module, meta: dict[str, Any], out: Path
) -> ExportResult:
    """The file that was asked for."""
    geometry = geometry_of(cfg, detector.data_preprocessor, args.size)
    photos = first_photos(cfg, geometry, 3, PICTURES)
    if photos is None:
        tell('the test set cannot be read here: the file is tried on drawn pictures')
    return export_detector(
        detector,
        geometry,
        out,
        **form_of(args),
        opset=args.opset,
        classes=class_names(cfg, meta),
        plan=cfg.model.get('plan'),
        images=photos,
        score_thr=args.score_thr,
        iou_thr=args.iou_thr,
        nms_pre=args.nms_pre,
        max_per_img=args.max_per_img,
    )


def write_int8(
    args: argparse.Namespace, cfg: Config, about: dict[str, Any], out: Path, told: Outcome
) -> None:
    """The same file in eight bits, for ONNX Runtime or for the engine that was asked for."""
    images = file_images(cfg, about, args.int8, args.seed)
    if args.to:
        target = out.with_suffix('.int8.xml')
        found = write_openvino_int8(out, target, images, args.keep)
        told.add(target, f'{args.to}, int8', int8=True)
        told.compared.append(
            f'{target.name} with {out.name}, {len(images)} training images: {found.changed:.1%} '
            f'of the detections change, by score; on a CPU {found.cpu}'
        )
    else:
        target = out.with_suffix('.int8.onnx')
        metric = validation_metric(cfg) if args.evaluate else None
        choice = choose_int8(out, target, images, args.calibration, args.keep, metric, tell)
        told.add(target, 'ONNX Runtime, int8', int8=True)
        told.compared.append(
            f'{target.name} with {out.name}, training images: outputs differ by '
            f'{choice.final.loss:.3f} of a standard deviation; {choice.scheme}, {choice.why}'
        )
    tell(f'written: {target}')


def measured(
    data: TestSet, detector: nn.Module, told: Outcome, shape: tuple[int, int, int]
) -> str:
    """A table of mAP, latency and size, one row a form."""
    files = list(told.files)
    found = [data.metrics(each) for each in (detector, *map(FileDetector, files))]
    keys = [key for key in found[0] if key.endswith(('mAP', 'mAP_50', 'mAP_75', 'AP50'))]
    height, width, channels = shape
    latencies = latencies_ms(detector, files, scenes(1, height, width, channels)[0])
    sizes = [told.weights, *(told.files[path].size for path in files)]
    names = ['PyTorch', *(told.files[path].what.rpartition('; ')[2] for path in files)]
    names = [name if name.endswith('int8') else f'{name}, float32' for name in names]
    rows = [
        [name, *(f'{row[key]:.3f}' for key in keys), f'{latency:.1f} ms', format_bytes(size)]
        for name, row, latency, size in zip(names, found, latencies, sizes, strict=True)
    ]
    threads = f'{torch.get_num_threads()} threads, image to boxes'
    return text_table([threads, *(key.split('/')[-1] for key in keys), 'latency', 'weights'], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Returns:
        The exit status.
    """
    try:
        export(parse_args(argv))
        return 0
    except (CompressionError, DetectionError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
