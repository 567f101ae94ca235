"""MNN's converter, called through Python.

Its command `mnnconvert` installs a package and opens a connection; the function beneath does
neither. It prints much, and gives the same answer for a file that it cannot read.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.needs import needed

PACKAGE = 'MNN'
NEEDS = ('MNN',)
TAKES = {}


def check(description: dict) -> None:
    """It takes every form, and has NMS and TopK."""


def write(source: Path, target: Path, description: dict, module: nn.Module | None = None) -> None:
    """Write ``target`` (``*.mnn``).

    Raises:
        CompressionError: MNN is not installed, or cannot read the file.
    """
    needed('MNN', 'mnn')
    tools = needed('_tools', 'mnn')
    arguments = ['mnnconvert', '-f', 'ONNX', '--modelFile', str(source), '--MNNModel', str(target)]
    with _caught_output() as told:
        tools.mnnconvert([*arguments, '--keepInputFormat=1'])
        lines = [line for line in told() if line.strip()]
    if not target.is_file():
        raise CompressionError(f'{source}: MNN cannot convert it: {"; ".join(lines[-4:]):.500}')


@contextlib.contextmanager
def _caught_output() -> Iterator:
    """What the converter writes past Python to standard output and error, as lines."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        kept = [os.dup(1), os.dup(2)]
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)

            def told() -> list[str]:
                file.seek(0)
                return file.read().decode(errors='replace').splitlines()

            yield told
        finally:
            for number, own in zip((1, 2), kept, strict=True):
                os.dup2(own, number)
                os.close(own)
