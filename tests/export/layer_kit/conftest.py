from pathlib import Path

import pytest
from layer_shapes import shape_of
from torch import nn

from mmdet_lcp.export.layer_kit import KitWriter, bench_of


@pytest.fixture
def kit(tmp_path) -> Path:
    """A convolution and a linear layer for ONNX Runtime."""
    writer = KitWriter(tmp_path / 'kit', 'onnxruntime')
    conv = nn.Conv2d(8, 8, 3, padding=1)
    for ins in (4, 8):
        shape = shape_of(conv, 6, 6, activation='relu')
        writer.add_layer(bench_of(shape, ins, 8), {'layer': 'conv', 'channels': ins})
    writer.add_layer(bench_of(shape_of(nn.Linear(6, 4), 7), 6, 4), {'layer': 'linear'})
    return writer.close(what='test')
