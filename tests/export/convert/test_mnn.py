"""MNN's converter: what it prints past Python, and files that it cannot read."""

import os

import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.export.convert import mnn

from .engines import installed


def test_mnn_says_what_is_wrong(tmp_path, capfd):
    """An operator that it does not have; what it prints on the way is not seen."""
    installed('mnn')
    (tmp_path / 'x.onnx').write_bytes(b'not at all' * 20)
    with pytest.raises(CompressionError, match=r'MNN cannot convert it: .*not onnx'):
        mnn.write(tmp_path / 'x.onnx', tmp_path / 'x.mnn', {})
    assert 'Error' not in capfd.readouterr().out


def test_what_is_printed_past_python_is_kept_apart(capfd):
    with mnn._caught_output() as told:
        os.write(1, b'one\n')
        os.write(2, b'two \xff\n')
        assert told() == ['one', 'two \ufffd']
    os.write(1, b'seen\n')
    found = capfd.readouterr()
    assert (found.out, found.err) == ('seen\n', '')


def test_output_comes_back_after_an_error(capfd):
    with pytest.raises(RuntimeError), mnn._caught_output():
        os.write(1, b'hidden\n')
        raise RuntimeError
    os.write(1, b'seen\n')
    assert capfd.readouterr().out == 'seen\n'
