"""torch: an export that fails without printing its whole graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_graph_dump() -> Iterator[None]:
    """For a while keep torch's exporter from printing thousands of lines where an export fails.

    They are meant for ``verbose=True``; torch asks whether they were on before by naming the
    function instead of calling it (``setup_onnx_logging``), and so turns them on each time.
    """
    log = getattr(torch._C, '_jit_onnx_log', None)
    if log is None:
        yield
        return
    torch._C._jit_onnx_log = lambda *words: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log
