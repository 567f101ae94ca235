"""mmdet: branches for an exporter of its own past."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def branches_of_prediction() -> Iterator[None]:
    """For a while let mmdet and mmcv compute in an export what they compute in a prediction.

    Where ``torch.onnx.is_in_onnx_export()`` holds they take other branches, of which some import
    ``mmdet.core``, a package that mmdet 3 does not have, and others pad for plugins.
    """
    asked = torch.onnx.is_in_onnx_export
    torch.onnx.is_in_onnx_export = lambda: False
    try:
        yield
    finally:
        torch.onnx.is_in_onnx_export = asked
