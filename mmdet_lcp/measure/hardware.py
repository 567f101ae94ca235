"""What a figure was measured on: the machine, and the versions that ran."""

import importlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch


def versions() -> dict[str, str | None]:
    """Return package -> version of what decides the outcome, None for what is not installed."""
    found: dict[str, str | None] = dict(python=platform.python_version())
    for name in ('torch', 'mmdet', 'mmcv', 'mmengine', 'mmdet_lcp'):
        try:
            found[name] = getattr(importlib.import_module(name), '__version__', None)
        except ImportError:
            found[name] = None
        if found[name] is None:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
    return {name: version and str(version) for name, version in found.items()}


def hardware() -> dict[str, Any]:
    """Describe this machine.

    Returns:
        ``cpu``: model name; ``cores``: cores this process may use; ``threads``: those torch
        uses; ``gpus``: names, an empty list without CUDA.
    """
    cpu = platform.processor() or platform.machine()
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                cpu = line.split(':', 1)[1].strip()
                break
    except OSError:
        pass
    can_ask = hasattr(os, 'sched_getaffinity')
    cores = len(os.sched_getaffinity(0)) if can_ask else os.cpu_count()
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return dict(cpu=cpu, cores=cores, threads=torch.get_num_threads(), gpus=gpus)
