"""Write a kit: each network in the runtime's own format, through the same converters as detectors.

The files are packed with gzip. Their weights repeat, so that a kit of layers of a gigabyte takes a
few megabytes.
"""

import gzip
import importlib.metadata
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.convert import TARGETS, converter_of
from mmdet_lcp.export.layer_kit.networks import Bench, bracket_of
from mmdet_lcp.export.needs import needed
from mmdet_lcp.export.onnx_file import INPUT
from mmdet_lcp.export.writer import opset_for, write_onnx
from mmdet_lcp.files import read_json, write_json
from mmdet_lcp.measure import on_device
from mmdet_lcp.measure.runtimes import TORCH, check_runtime

SCRIPT = 'measure.py'


@dataclass
class Entry:
    """A file of a kit.

    Attributes:
        bench: the network.
        about: what it is, plain data; goes into the manifest.
    """

    bench: Bench
    about: Mapping[str, Any] = field(default_factory=dict)


class KitWriter:
    """Writes a kit, file by file.

    Args:
        folder: of the kit; made, and emptied of the files of an older kit.
        runtime: one of `RUNTIMES`.

    Raises:
        CompressionError: the runtime is unknown, or what writes its files is not installed.
    """

    def __init__(self, folder: Path, runtime: str) -> None:
        check_runtime(runtime, '--runtime')
        self.folder, self.runtime = folder, runtime
        check_writable(runtime)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob('[0-9]' * 4 + '.*'):
            old.unlink()
        self._entries: list[dict[str, Any]] = []
        self._brackets: dict[tuple[int, int, int], str] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry, pack: bool = True) -> str:
        """Write one file.

        Args:
            entry: the network.
            pack: with gzip, of which weights that repeat get small.

        Returns:
            Its name in the manifest.

        Raises:
            CompressionError: the network cannot be written for the runtime.
        """
        name = f'{len(self._entries):04d}'
        bench = entry.bench
        with tempfile.TemporaryDirectory() as folder:
            paths, outputs = _files(bench, self.runtime, Path(folder), name)
            for path in paths:
                if not pack:
                    shutil.move(path, self.folder / path.name)
                    continue
                with gzip.open(self.folder / f'{path.name}.gz', 'wb', compresslevel=1) as packed:
                    packed.write(path.read_bytes())
        self._entries.append(
            {
                'name': name,
                'files': [f'{path.name}.gz' if pack else path.name for path in paths],
                'input': list(bench.input),
                'outputs': outputs,
                'repeats': bench.repeats,
                **entry.about,
            }
        )
        return name

    def take(self, kit: Path, name: str) -> str:
        """Put an entry of another kit for this runtime into this one; returns its name here."""
        manifest = read_json(kit / on_device.MANIFEST)
        (entry,) = (entry for entry in manifest['entries'] if entry['name'] == name)
        here = f'{len(self._entries):04d}'
        files = [f'{here}{file.removeprefix(name)}' for file in entry['files']]
        for old, new in zip(entry['files'], files, strict=True):
            shutil.copyfile(kit / old, self.folder / new)
        self._entries.append({**entry, 'name': here, 'files': files})
        return here

    def add_layer(self, bench: Bench, about: Mapping[str, Any]) -> str:
        """Write a layer's file, and those of what stands around it unless they are there."""
        brackets = []
        for at in bench.brackets:
            if at not in self._brackets:
                self._brackets[at] = self.add(Entry(bracket_of(*at)))
            brackets.append(self._brackets[at])
        return self.add(Entry(bench, {**about, 'brackets': brackets}))

    def close(self, **about: Any) -> Path:
        """Write the manifest and the script; returns the folder."""
        versions = {
            name: importlib.metadata.version(name)
            for name in ('torch', _converter_package(self.runtime))
            if name
        }
        manifest = {
            'version': on_device.VERSION,
            'runtime': self.runtime,
            'made_with': versions,
            **about,
            'entries': self._entries,
        }
        write_json(self.folder / on_device.MANIFEST, manifest)
        shutil.copyfile(on_device.__file__, self.folder / SCRIPT)
        return self.folder


def check_writable(runtime: str) -> None:
    """Refuse a runtime whose files cannot be written here.

    Raises:
        CompressionError: a package is not installed; its extra is named.
    """
    if runtime != TORCH:
        needed('onnx')
    if runtime in TARGETS:
        for name in converter_of(runtime).NEEDS:
            needed(name, runtime)


def _converter_package(runtime: str) -> str:
    if runtime in TARGETS:
        return converter_of(runtime).PACKAGE
    return 'onnx' if runtime == 'onnxruntime' else ''


def _files(bench: Bench, runtime: str, folder: Path, name: str) -> tuple[list[Path], list[str]]:
    """Write a network; the file that the engine opens first, and the names of its outputs."""
    example = torch.zeros(bench.input)
    with torch.no_grad():
        found = bench.network(example)
        outputs = [f'out{number}' for number in range(1 if _is_one(found) else len(found))]
        if runtime == TORCH:
            path = folder / f'{name}.pt'
            _write_torchscript(bench, example, path)
            return [path], outputs
    source = folder / f'{name}.onnx'
    if runtime != 'litert':  # which reads modules
        opset = opset_for(bench.network, None)
        what = type(bench.network).__name__
        write_onnx(bench.network, example, source, outputs, opset, {}, what)
    if runtime in ('onnxruntime', 'openvino'):  # both read it
        return [source], outputs
    target = folder / f'{name}{TARGETS[runtime]}'
    converter_of(runtime).write(source, target, _description(bench), bench.network)
    paths = [target, *sorted(folder.glob(f'{name}*.bin'))]
    return paths, outputs


def _write_torchscript(bench: Bench, example: torch.Tensor, path: Path) -> None:
    """Trace a network; one with operators of Python's own, such as NMS, cannot be saved."""
    try:
        torch.jit.save(torch.jit.trace(bench.network, example), str(path))
    except RuntimeError as error:
        reason = str(error).strip().partition('. ')[0].partition('\n')[0]
        raise CompressionError(
            f'torch: {type(bench.network).__name__} cannot be written as TorchScript ({reason})'
        ) from error


def _is_one(found: Any) -> bool:
    return isinstance(found, torch.Tensor)


def _description(bench: Bench) -> dict[str, Any]:
    """What converters ask of a file's input."""
    batch, channels, height, width = bench.input
    return {
        'form': 'decoded',
        'input': dict(
            name=INPUT,
            batch=batch,
            channels=channels,
            height=height,
            width=width,
            layout='NCHW',
            dtype='float32',
        ),
    }
