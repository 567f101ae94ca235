"""Exported files beside mmdet, in each engine: boxes and scores up to ties, and mAP."""

import argparse
import contextlib
import datetime
import importlib.metadata
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.apis import DetInferencer
from mmdet.utils import register_all_modules
from PIL import Image

import mmdet_lcp  # noqa: F401
from device_tables.kept import ENGINES, folder_of, keep, photos_of, read
from mmdet_lcp.cli.export import load
from mmdet_lcp.cli.export import main as export
from mmdet_lcp.config.file import read_config
from mmdet_lcp.coverage.detectors import SupportedDetector, build
from mmdet_lcp.export.agreement import Agreement, Found, agreement
from mmdet_lcp.export.evaluation import FileDetector, TestSet
from mmdet_lcp.measure.metrics import main_metric
from mmdet_lcp_runtime import Detector
from random_detectors import calm

# With random weights: config, and the scale (width, height) that its images get.
RANDOM = {
    'RetinaNet R50': ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', (256, 192)),
    'YOLOX-tiny': ('mmdet::yolox/yolox_tiny_8xb8-300e_coco.py', (320, 320)),
    'RTMDet-tiny': ('mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py', (320, 320)),
    'Mask R-CNN R50': ('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', (256, 192)),
}


def random_detector(name: str, work: Path) -> tuple[str, str]:
    """Config and checkpoint of a detector with random weights whose scores are spread."""
    folder = work / 'random' / name.replace(' ', '_')
    config, weights = folder / 'config.py', folder / 'weights.pth'
    if not weights.exists():
        path, scale = RANDOM[name]
        spec = SupportedDetector(name, path, scale[1])
        cfg = spec.read()
        for step in (*cfg.test_pipeline, *cfg.test_dataloader.dataset.pipeline):
            if step['type'] == 'Resize':
                step['scale'] = scale
            if step['type'] == 'Pad' and step.get('size'):
                step['size'] = scale
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        detector = calm(build(cfg), spec.size)
        folder.mkdir(parents=True, exist_ok=True)
        cfg.dump(str(config))
        torch.save({'state_dict': detector.state_dict(), 'meta': {}}, weights)
    return str(config), str(weights)


def by_mmdet(config: str, weights: str, photos: list[str]) -> list:
    """What `DetInferencer` finds, inside the photos, with mmdet's own test pipeline."""
    inferencer = DetInferencer(config, weights, device='cpu', show_progress=False)
    found = []
    for photo in photos:
        (seen,) = inferencer(photo, return_datasamples=True, no_save_vis=True)['predictions']
        seen = seen.pred_instances.numpy()
        width, height = Image.open(photo).size
        boxes = np.clip(seen.bboxes, 0, [width, height] * 2)  # what the runtime does
        found.append(Found(boxes, seen.scores, seen.labels, seen.get('masks')))
    return found


def exported(config: str, weights: str, engine: str, folder: Path, *more: str) -> Path | str:
    """The file that `mmdet-lcp export` writes for an engine, or why there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [config, weights, '--out', str(folder / 'x.onnx'), *more]
    if engine != 'onnxruntime':
        words += ['--to', engine]
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        done = export(words)
    if done:
        return ' '.join(told.getvalue().removeprefix('error: ').split())
    end = ENGINES[engine][1]
    return folder / f'x{".int8" if "--int8" in more else ""}{end}'


def compared(file: Path, expected: list, photos: list[str]) -> dict[str, Any]:
    """A file beside mmdet."""
    source = Detector(file.with_name('x.onnx'), threads=1)
    limits, detector = source.metadata.thresholds, Detector(file, threads=1)
    total, clock = Agreement(), 0.0
    for photo, own in zip(photos, expected, strict=True):
        begin = time.perf_counter()
        seen = detector(photo)
        clock += time.perf_counter() - begin
        best = np.argsort(-own.scores, kind='stable')[: limits.max_per_img]
        masks = None if own.masks is None else own.masks[best]
        own = Found(own.boxes[best], own.scores[best], own.labels[best], masks)
        total += agreement(
            Found(seen.boxes, seen.scores, seen.labels, seen.masks),
            own,
            limits.score,
            limits.iou,
            limits.max_per_img,
            limits.class_agnostic,
        )
    return {**vars(total), 'seconds': clock}


def mean_ap(config: str, weights: str, files: Sequence[Path]) -> list[float]:
    """Main metric of the detector and of files, on the test set."""
    cfg = read_config(config)
    data = TestSet(cfg)
    found = [data.metrics(each) for each in (load(cfg, weights)[0], *map(FileDetector, files))]
    return [each[main_metric(each)] for each in found]


def agree(args: argparse.Namespace) -> None:
    """Fill the first table."""
    register_all_modules()
    photos = photos_of(args.photos)
    trained = {name: (config, weights) for name, config, weights in args.trained}
    for name in args.only or (*trained, *RANDOM):
        config, weights = trained.get(name) or random_detector(name, args.work)
        expected = by_mmdet(config, weights, photos)
        for engine in args.engines:
            folder = folder_of(args.work, name, engine)
            file = exported(config, weights, engine, folder)
            cell: dict[str, Any] = {'refused': file}
            if isinstance(file, Path):
                cell = {'photos': len(photos), **compared(file, expected, photos)}
                files = [file]
                if name in trained and engine in ('onnxruntime', 'openvino'):
                    int8 = exported(config, weights, engine, folder, '--int8', '64')
                    files += [int8] if isinstance(int8, Path) else []
                if name in trained:
                    cell['dense_map'], cell['map'], *more = mean_ap(config, weights, files)
                    cell['int8_map'] = more[0] if more else None
            cell['version'] = importlib.metadata.version(ENGINES[engine][2])
            cell['date'] = str(datetime.date.today())
            found = read(args.work, 'agree')  # other engines may be at work beside
            row = found.setdefault(name, {'engines': {}})
            row['map'] = cell.pop('dense_map', row.get('map'))
            row['engines'][engine] = cell
            keep(args.work, 'agree', found)
            print(name, engine, cell, flush=True)
