"""What several of these tests use."""

import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from mmdet_lcp.compat.checkpoint_reading import torch_version

ROOT = Path(__file__).parents[2]
OFF = {'MMDET_LCP_HOOK': '0'}  # or the start-up file, where it is installed, applies some
checks_pickles = pytest.mark.skipif(
    torch_version() < (2, 6), reason='torch.load checks pickles since torch 2.6'
)


def reload(thing):
    """``thing`` after torch.save and torch.load with the check on."""
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def fresh_python(code: str, **env) -> subprocess.CompletedProcess:
    """Run code in a process where no fix was applied yet."""
    return subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        env={**os.environ, **OFF, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', **env},
        capture_output=True,
        text=True,
        timeout=300,
    )
