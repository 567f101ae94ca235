"""In an export mmdet takes the branches of a prediction."""

import io
import warnings

import pytest
import torch
from torch import nn

from mmdet_lcp.compat.onnx_branches import branches_of_prediction


class Asks(nn.Module):
    """Doubles in a prediction; in an export, as torch says, it triples."""

    def forward(self, x):
        return x * (3 if torch.onnx.is_in_onnx_export() else 2)


def factor(exporting) -> float:
    """What is in the file: the constant that the input is multiplied by."""
    onnx = pytest.importorskip('onnx')
    file = io.BytesIO()
    with warnings.catch_warnings(), exporting:
        warnings.simplefilter('ignore')
        torch.onnx.export(Asks(), (torch.ones(2),), file, dynamo=False)
    graph = onnx.load_from_string(file.getvalue()).graph
    (value,) = [
        onnx.numpy_helper.to_array(attribute.t)
        for node in graph.node
        if node.op_type == 'Constant'
        for attribute in node.attribute
    ]
    return float(value)


def test_the_branch_of_a_prediction_is_exported():
    assert factor(warnings.catch_warnings()) == 3  # without, torch says that it exports
    assert factor(branches_of_prediction()) == 2


def test_afterwards_torch_is_asked_again():
    asked = torch.onnx.is_in_onnx_export
    with pytest.raises(KeyError), branches_of_prediction():
        assert torch.onnx.is_in_onnx_export is not asked
        raise KeyError
    assert torch.onnx.is_in_onnx_export is asked
