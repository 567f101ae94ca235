"""Names of runtimes; a wrong one is told with the nearest."""

import pytest

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.runtimes import RUNTIMES, TORCH, check_runtime


@pytest.mark.parametrize('name', RUNTIMES)
def test_known(name):
    check_runtime(name, 'pruning.runtime')


def test_all_that_pages_promise():
    assert set(RUNTIMES) == {'onnxruntime', 'openvino', 'ncnn', 'mnn', 'litert', 'torch'}
    assert TORCH in RUNTIMES


@pytest.mark.parametrize(
    ('given', 'hint'), [('onnxruntme', "'onnxruntime'"), ('OpenVino', "'openvino'"), (3, '')]
)
def test_unknown(given, hint):
    with pytest.raises(CompressionError, match=rf'^pruning.runtime={given!r}: .*{hint}.*litert'):
        check_runtime(given, 'pruning.runtime')
