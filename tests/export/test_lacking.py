"""Where an operator stands that ONNX does not have."""

import pytest
import torch
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.export.lacking import users_of
from mmdet_lcp.export.writer import write_onnx

pytest.importorskip('onnx', reason='the extra `export` is not installed')


class Digamma(nn.Module):
    def forward(self, maps):
        return torch.digamma(maps + 1)


class Whole(nn.Module):
    """A convolution and the operator, twice, as a detector's neck has them."""

    def __init__(self):
        super().__init__()
        self.detector = nn.Module()
        self.detector.neck = nn.Sequential(nn.Conv2d(3, 3, 1), Digamma(), Digamma())

    def forward(self, images):
        return self.detector.neck(images)


def test_the_modules_are_named_and_nothing_is_written(tmp_path):
    with pytest.raises(CompressionError, match='aten::digamma') as caught:
        write_onnx(Whole(), torch.rand(1, 3, 4, 4), tmp_path / 'x.onnx', ['y'], 17, {}, 'Own')
    assert str(caught.value).startswith('Own cannot be exported: ')
    assert str(caught.value).endswith('It is used by neck.1 (Digamma), neck.2 (Digamma)')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('text', ['out of memory', "operator 'aten::cosh' is missing"])
def test_errors_that_name_nothing_that_is_there(text):
    assert users_of(RuntimeError(text), Whole(), torch.rand(1, 3, 4, 4)) == []
