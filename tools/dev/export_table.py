#!/usr/bin/env python
"""Export every detector that is known to work, or is known not to, and write the table of it.

  python tools/dev/export_table.py --work W --to openvino
  python tools/dev/export_table.py --work W --to openvino --only ssd300 dino-r50-4-scales
  python tools/dev/export_table.py --work W --page docs/export.md

Each detector is built from its own config with random weights, written end to end, converted for
the engines that are asked for, and each file is compared with mmdet on two drawn pictures. What is
found is kept in W, a file a detector: what is there is not done again, so that a run that was
ended goes on. The last command writes the table between the marks of the page.
"""

import argparse
import importlib.metadata
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.utils import register_all_modules
from torch import nn

import marked_page
from mmdet_lcp import CompressionError
from mmdet_lcp.coverage.detectors import SupportedDetector, build
from mmdet_lcp.export import export_detector
from mmdet_lcp.export.agreement import Agreement
from mmdet_lcp.export.convert import TARGETS, convert
from mmdet_lcp.export.detector_file import PICTURES
from mmdet_lcp.export.geometry import Geometry
from mmdet_lcp.export.postprocess import postprocess_of
from mmdet_lcp.export.scenes import scenes
from mmdet_lcp.export.verification import check_end_to_end
from random_detectors import calm, known

NAMES = {'openvino': 'OpenVINO', 'mnn': 'MNN'}  # of those that take files with NMS


def measured(spec: SupportedDetector, engines: Sequence[str]) -> dict[str, Any]:
    """A detector in ONNX Runtime and in other engines; what fails is said under 'refused'."""
    found: dict[str, Any] = {'name': spec.name}
    try:
        detector = build(spec.read())
        postprocess_of(detector, (spec.size, spec.size))  # who is refused need not run
        detector = calm(detector, spec.size)
    except Exception as error:  # others' detectors fail in any way; the table says so
        return {**found, 'onnx': {'refused': one_line(error)}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'x.onnx')
        try:
            result = export_detector(detector, Geometry(spec.size, spec.size), path)
        except Exception as error:
            return {**found, 'onnx': {'refused': one_line(error)}}
        opset = result.description['versions']['opset']
        found['onnx'] = {'opset': opset, **vars(result.agreement)}
        for engine in engines:
            found[engine] = converted(detector, result.path, result.description, engine)
    return found


def converted(
    detector: nn.Module, path: Path, description: dict[str, Any], engine: str
) -> dict[str, Any]:
    """The file in another engine, beside mmdet, on the pictures that it was tried on."""
    given, limits = description['input'], postprocess_of(detector, size_of(description)).thresholds
    images = scenes(max(PICTURES, given['batch'] or 1), *size_of(description), given['channels'])
    try:
        made = convert(path, engine)
        return vars(check_end_to_end(made.path, detector, limits, images, True, given['batch']))
    except CompressionError as error:
        return {'refused': one_line(error)}


def size_of(description: dict[str, Any]) -> tuple[int, int]:
    """(height, width) of a file's input."""
    return description['input']['height'], description['input']['width']


def one_line(error: Exception) -> str:
    """What it says, for a cell."""
    return ' '.join(str(error).replace('|', '/').split())[:200]


def cells(found: dict[str, Any]) -> list[str]:
    """How a file compares: detections in both, boxes, scores."""
    if 'refused' in found:
        return [f'no: {found["refused"]}', '', '']
    agreement = Agreement(**{key: found[key] for key in vars(Agreement())})
    pairs = str(agreement.pairs)
    pairs += f' + {agreement.ties} ties' if agreement.ties else ''
    pairs += f' + {agreement.others} others' if agreement.others else ''
    masks = f', masks {agreement.mask:.0e}' if agreement.mask else ''
    return [pairs, f'{agreement.box:.0e}', f'{agreement.score:.0e}{masks}']


def table(rows: Sequence[dict[str, Any]]) -> str:
    """In Markdown."""
    engines = [each for each in TARGETS if any(each in row for row in rows)]
    head = ['detector', 'opset', 'ONNX Runtime: in both', 'boxes, px', 'scores']
    for engine in engines:
        head += [f'{NAMES[engine]}: in both', 'boxes, px', 'scores']
    lines = [head, [':--'] * len(head)]
    for row in rows:
        own = [row['name'], str(row['onnx'].get('opset', '')), *cells(row['onnx'])]
        for engine in engines:
            none = '' if 'refused' in row['onnx'] else 'not run'
            own += cells(row[engine]) if engine in row else [none, '', '']
        lines.append(own)
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def measure(args: argparse.Namespace) -> None:
    """Fill the folder."""
    register_all_modules()
    warnings.simplefilter('ignore')
    args.work.mkdir(parents=True, exist_ok=True)
    for spec in known():
        file = args.work / f'{spec.key}.json'
        if file.exists() or (args.only and spec.key not in args.only):
            continue
        began = time.monotonic()
        found = measured(spec, args.to)
        file.write_text(json.dumps(found, indent=1) + '\n')
        print(f'{time.monotonic() - began:5.1f} s  {found}', flush=True)


def write_page(args: argparse.Namespace) -> None:
    """Write what is in the folder into the page."""
    files = [args.work / f'{spec.key}.json' for spec in known()]
    rows = [json.loads(file.read_text()) for file in files if file.exists()]
    packages = ['onnxruntime', *(each for each in TARGETS if any(each in row for row in rows))]
    versions = [f'{each} {importlib.metadata.version(each)}' for each in packages]
    marked_page.replace(args.page, 'table', f'{table(rows)}\n\n{", ".join(versions)}.')


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--work', type=Path, required=True, help='where results are kept')
    parser.add_argument('--to', nargs='+', choices=NAMES, default=[], help='other engines')
    parser.add_argument('--only', nargs='+', metavar='KEY', help='keys of detectors')
    parser.add_argument('--page', type=Path, help='write the table there; nothing is run')
    args = parser.parse_args(argv)
    (write_page if args.page else measure)(args)
    return 0


if __name__ == '__main__':
    sys.exit(main())
