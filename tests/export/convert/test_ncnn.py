"""ncnn: what it takes, and operators that pnnx leaves as they were."""

import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.export.convert import ncnn

FITS = {'form': 'decoded', 'input': {'dtype': 'float32', 'layout': 'NCHW', 'batch': 1}}


def test_foreign_operators_are_found():
    param = '7767517\n3 3\nInput in0 0 1 in0\nTensor.to t 1 1 in0 1\nSigmoid s 1 1 1 out0\n'
    assert ncnn.foreign(param) == ['Tensor.to']
    assert ncnn.foreign(param.replace('Tensor.to', 'Clip')) == []


def test_what_it_takes():
    ncnn.check(FITS)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(form='end-to-end'), 'neither NMS nor TopK'),
        (dict(dtype='uint8'), 'float32 images, channels first'),
        (dict(layout='NHWC'), 'float32 images, channels first'),
        (dict(batch=None), 'one image at a time'),
    ],
)
def test_what_it_does_not(change, message):
    given = {**FITS['input'], **{key: each for key, each in change.items() if key != 'form'}}
    with pytest.raises(CompressionError, match=message):
        ncnn.check({'form': change.get('form', 'decoded'), 'input': given})


def test_everything_that_is_wrong_is_told_at_once():
    wrong = {'form': 'raw', 'input': {'dtype': 'uint8', 'layout': 'NHWC', 'batch': 2}}
    with pytest.raises(CompressionError, match=r'TopK; ncnn takes float.*; ncnn takes one image'):
        ncnn.check(wrong)
