"""Where the tables' numbers are kept, and which photos they are of."""

import json
import sys
from pathlib import Path
from typing import Any

PHOTOS = 'data/BCCD/JPEGImages'
ENGINES = {
    'onnxruntime': ('ONNX Runtime', '.onnx', 'onnxruntime'),
    'openvino': ('OpenVINO', '.xml', 'openvino'),
    'ncnn': ('ncnn', '.ncnn.param', 'ncnn'),
    'mnn': ('MNN', '.mnn', 'MNN'),
    'litert': ('LiteRT', '.tflite', 'ai-edge-litert'),
}  # title, suffix of the file, package


def folder_of(work: Path, name: str, engine: str) -> Path:
    """Where a detector's files for an engine lie."""
    return work / 'files' / name.replace(' ', '_') / engine


def read(work: Path, name: str) -> dict[str, Any]:
    """Results of before."""
    file = work / f'{name}.json'
    return json.loads(file.read_text()) if file.exists() else {}


def keep(work: Path, name: str, found: dict[str, Any]) -> None:
    """Write results."""
    work.mkdir(parents=True, exist_ok=True)
    (work / f'{name}.json').write_text(json.dumps(found, indent=1) + '\n')


def photos_of(count: int) -> list[str]:
    """The first photos, in the order of their names."""
    found = sorted(str(path) for path in Path(PHOTOS).glob('*.jpg'))
    if len(found) < count:
        sys.exit(f'error: {PHOTOS} has {len(found)} photos, {count} are wanted')
    return found[:count]
