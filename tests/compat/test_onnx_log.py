"""Nothing is printed where an export fails."""

import io

import pytest
import torch
from torch import nn

from mmdet_lcp.compat.onnx_log import without_graph_dump

pytest.importorskip('onnx', reason='the extra `export` is not installed')


class Eigenvalues(nn.Module):
    def forward(self, matrix):
        return torch.linalg.eigvals(matrix)


def printed(capfd) -> str:
    with pytest.raises(torch.onnx.errors.OnnxExporterError):
        torch.onnx.export(Eigenvalues(), torch.eye(2), io.BytesIO(), dynamo=False)
    out, err = capfd.readouterr()
    return out + err


def test_nothing_is_printed(capfd):
    with without_graph_dump():
        assert 'graph(' not in printed(capfd)
    assert torch._C._jit_onnx_log.__name__ == '_jit_onnx_log'
