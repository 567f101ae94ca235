"""Eight bits of trained detectors: what is lost with which layers in float, in two engines."""

import argparse
import datetime
from pathlib import Path
from typing import Any

from mmdet.utils import register_all_modules

from device_tables.agreement import exported, mean_ap
from device_tables.kept import folder_of, keep, read
from mmdet_lcp_runtime import Detector

IMAGES = '64'
WAYS = {
    'onnxruntime': {'none': [], 'heads': ['--keep', 'heads'], 'auto': ['--keep', 'auto']},
    'openvino': {'none': [], 'heads': ['--keep', 'heads']},
}


def int8(args: argparse.Namespace) -> None:
    """Fill the table: mAP on the test set and bytes, of each way that is not there yet."""
    register_all_modules()
    for name, config, weights in args.trained:
        for engine in args.engines:
            for way, words in WAYS.get(engine, {}).items():
                found = read(args.work, 'int8')
                row = found.setdefault(name, {}).setdefault(engine, {})
                if way in row:
                    continue
                folder = folder_of(args.work, name, f'{engine}-int8-{way}')
                file = exported(config, weights, engine, folder, '--int8', IMAGES, *words)
                row[way] = cell(config, weights, file)
                keep(args.work, 'int8', found)
                print(name, engine, way, row[way], flush=True)


def cell(config: str, weights: str, file: Path | str) -> dict[str, Any]:
    """MAP beside the detector's own, bytes, and what stayed in float."""
    if isinstance(file, str):
        return {'refused': file}
    dense, own = mean_ap(config, weights, [file])
    parts = [file, file.with_suffix('.bin')]
    return {
        'dense_map': dense,
        'map': own,
        'bytes': sum(part.stat().st_size for part in parts if part.exists()),
        'kept': len(Detector(file).metadata.facts['int8']['kept']),
        'date': str(datetime.date.today()),
    }
