"""An exported ONNX file for other engines, each through its own converter.

What was converted is loaded and run at once, and compared with ONNX Runtime; it is kept only if it
computes the same. Converters lie, a file each: some end well and write what nothing can load, or
what computes something else.
"""

import importlib
import importlib.metadata
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.convert.comparison import Difference, compare, example_inputs
from mmdet_lcp.export.needs import needed
from mmdet_lcp.files import write_json
from mmdet_lcp_runtime import DetectionError
from mmdet_lcp_runtime.engines import open_engine
from mmdet_lcp_runtime.metadata import KEY

# By target: the suffix of the file that the runtime opens. The module of that name here has
# `check(description)`, `write(source, target, description, module)`, the name of its `PACKAGE`,
# the modules that it `NEEDS`, and `TAKES`: arguments of `export_detector` for a file that it can
# convert.
TARGETS = {
    'openvino': '.xml',
    'ncnn': '.ncnn.param',
    'mnn': '.mnn',
    'litert': '.tflite',
}


@dataclass
class Converted:
    """What was written.

    Attributes:
        path: the file that the runtime opens.
        files: all of them, its description among them.
        difference: from ONNX Runtime, on the inputs that it was tried on.
    """

    path: Path
    files: list[Path]
    difference: Difference


def convert(
    source: str | os.PathLike,
    target: str,
    folder: str | os.PathLike | None = None,
    images: np.ndarray | None = None,
    module: nn.Module | None = None,
) -> Converted:
    """Convert an exported file.

    Args:
        source: ``*.onnx`` of the exporter, end-to-end or decoded, with its description in it.
        target: one of `TARGETS`.
        folder: where to write; default: beside `source`.
        images: inputs to try it on, as the file takes them, (N, ...); default: made ones.
        module: for ``'litert'`` alone, which does not read ONNX: what was exported as `source`,
            in eval mode; it takes the file's input and gives its outputs.

    Raises:
        CompressionError: the converter is not installed or cannot convert it, what it wrote
            cannot be loaded, or computes something else than `source`. Then nothing is written.
    """
    converter = converter_of(target)
    source = Path(source)
    description = described(source)
    if description['form'] == 'raw':
        raise CompressionError(
            f'{source}: has no boxes to compare two engines by: export it without --raw'
        )
    converter.check(description)
    images = example_inputs(description) if images is None else images
    folder = Path(folder or source.parent)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix='.convert.') as own:
        made = Path(own, source.stem + TARGETS[target])
        converter.write(source, made, description, module)
        difference = _tried(source, made, description, images)
        files = sorted(path for path in Path(own).iterdir() if path.is_file())
        for path in files:
            os.replace(path, folder / path.name)
    about = folder / f'{source.stem}.json'
    facts = {'version': importlib.metadata.version(converter.PACKAGE), **difference.as_dict()}
    others = _converted_before(about, description)
    write_json(about, {**description, 'converted': {**others, target: facts}})
    written = [*(folder / path.name for path in files), about]
    return Converted(folder / made.name, written, difference)


def converter_of(target: str) -> ModuleType:
    """The module that converts.

    Raises:
        CompressionError: there is none.
    """
    if target not in TARGETS:
        raise CompressionError(f'{target!r}: convert to one of {", ".join(TARGETS)}')
    return importlib.import_module(f'mmdet_lcp.export.convert.{target}')


def check_installed(target: str) -> None:
    """Refuse before anything is written what cannot be converted here.

    Raises:
        CompressionError: a package of the converter is not installed.
    """
    for name in converter_of(target).NEEDS:
        needed(name, target)


def _converted_before(about: Path, description: dict) -> dict:
    """What a description beside the file says of other targets, if it is of the same file."""
    try:
        facts = json.loads(about.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    others = facts.pop('converted', {})
    return others if facts == description else {}


def described(source: Path) -> dict:
    """What an ONNX file says of itself.

    Raises:
        CompressionError: it is missing, no ONNX file, or says nothing.
    """
    onnx = needed('onnx')
    if source.suffix != '.onnx' or not source.is_file():
        raise CompressionError(f'{source}: is no ONNX file; export the detector first')
    try:
        props = onnx.load(str(source)).metadata_props
    except Exception as error:  # protobuf's errors have no common class
        raise CompressionError(f'{source}: cannot be read as ONNX ({error!s:.200})') from error
    text = next((prop.value for prop in props if prop.key == KEY), None)
    if text is None:
        raise CompressionError(
            f'{source}: says nothing of its input and classes: export it with `mmdet-lcp export`'
        )
    return json.loads(text)


def _tried(source: Path, made: Path, description: dict, images: np.ndarray) -> Difference:
    """Both files on the same inputs.

    Raises:
        CompressionError: the new one cannot be loaded or run, or differs.
    """
    names = description['outputs']
    found = []
    for path in (source, made):
        try:
            engine = open_engine(path, None, None)
            # engines that can run several at once have to get all of them right
            step = description['input']['batch'] or (len(images) if engine.batches else 1)
            missing = set(names) - set(engine.outputs(names))
            if missing:
                raise DetectionError(f'{path}: has no output {", ".join(sorted(missing))}')
            parts = [
                engine.run({description['input']['name']: images[begin : begin + step]})
                for begin in range(0, len(images) - step + 1, step)
            ]
        except DetectionError as error:
            raise CompressionError(f'{error}. It was not kept') from error
        found.append({name: np.concatenate([part[name] for part in parts]) for name in names})
    difference = compare(description, *found)
    if not difference.small:
        raise CompressionError(
            f'{made.name} computes something else than {source.name}: {difference}. '
            'It was not kept'
        )
    return difference


__all__ = ['TARGETS', 'Converted', 'check_installed', 'convert', 'converter_of', 'described']
