"""Run a kit here, in a process of its own, and read what a run has told."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.layer_kit.write import SCRIPT, check_writable
from mmdet_lcp.export.needs import needed
from mmdet_lcp.measure import on_device
from mmdet_lcp.measure.runtimes import TORCH

# Of a network's time at least this part is the layer's: what is taken off has been measured too.
LEAST = 0.05


def check_measurable(runtime: str) -> None:
    """Refuse a runtime that cannot be measured here.

    Raises:
        CompressionError: the engine, or what writes its files, is not installed; the extra that
            brings it is named.
    """
    check_writable(runtime)
    if runtime != TORCH:
        extra = 'export' if runtime == 'onnxruntime' else runtime
        needed(on_device.ENGINES[runtime][0], extra)


def run_kit(kit: Path, threads: int, rounds: int = 3, seconds: float = 0.05) -> dict[str, Any]:
    """Measure a kit on this machine.

    The process is another one: no other engine's threads are in it, and torch's are not.

    Args:
        kit: the folder.
        threads: of the CPU.
        rounds: see `on_device.measure`.
        seconds: likewise.

    Raises:
        CompressionError: the engine is not installed, or cannot run a file.
    """
    out = kit / on_device.TIMES
    command = [sys.executable, str(kit / SCRIPT), str(kit), '--threads', str(threads)]
    command += ['--rounds', str(rounds), '--seconds', str(seconds), '--out', str(out)]
    done = subprocess.run(command, capture_output=True, text=True, errors='replace')
    if done.returncode:
        told = ' '.join((done.stderr or done.stdout).split())
        raise CompressionError(f'{kit}: cannot be measured: {told[-400:]}')
    return read_times(out)


def read_times(path: Path) -> dict[str, Any]:
    """What a run has written.

    Raises:
        CompressionError: it cannot be read, or is something else.
    """
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        if found['version'] != on_device.VERSION:
            raise ValueError(f'version {found["version"]}, this package reads {on_device.VERSION}')
        for key in ('runtime', 'engine_version', 'processor', 'threads', 'device'):
            found[key]
        for entry in found['entries']:
            if not entry['ms'] > 0:
                raise ValueError(f'{entry["name"]} took {entry["ms"]} ms')
        return found
    except OSError as error:
        raise CompressionError(f'{path}: cannot be read: {error}') from error
    except (ValueError, KeyError, TypeError) as error:
        raise CompressionError(
            f'{path}: holds no times of a layer kit ({error}); it is the {on_device.TIMES} that '
            f'{SCRIPT} writes on the device'
        ) from error


def layer_ms(times: Mapping[str, Any]) -> dict[str, float]:
    """Milliseconds of each layer alone, by the name of its entry.

    What stands around it is taken off: half of the bracket at its input and half of that at its
    output, each of which has one convolution to it and one from it.
    """
    ms = {entry['name']: entry['ms'] for entry in times['entries']}
    found = {}
    for entry in times['entries']:
        if 'brackets' in entry:
            whole = entry['ms']
            around = sum(ms[name] for name in entry['brackets']) / 2
            found[entry['name']] = max(whole - around, LEAST * whole) / entry['repeats']
    return found
