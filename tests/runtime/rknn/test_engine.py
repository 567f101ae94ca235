"""What the board's engine refuses; what it computes is in test_conversion.py."""

import sys

import fake_rknn
import numpy as np
import pytest
from made_onnx_files import network_file

from mmdet_lcp_runtime import DetectionError, Detector
from mmdet_lcp_runtime.rknn.conversion import convert

cv2 = pytest.importorskip('cv2')


@pytest.fixture
def toolkit(monkeypatch):
    return fake_rknn.install(monkeypatch)


@pytest.fixture
def made(toolkit, tmp_path):
    network_file(tmp_path / 'x.onnx')
    cv2.imwrite(str(tmp_path / 'x.png'), np.zeros((64, 64, 3), np.uint8))
    return convert(tmp_path / 'x.onnx', tmp_path / 'x.rknn', 'rk3588', [tmp_path / 'x.png']).path


def test_an_npu_has_no_threads(made):
    with pytest.raises(DetectionError, match='has no threads'):
        Detector(made, threads=2)


def test_the_decoding_is_copied_too(made):
    made.with_suffix('.decode.onnx').unlink()
    with pytest.raises(DetectionError, match=r'x\.decode\.onnx does not lie beside it'):
        Detector(made)


@pytest.mark.parametrize('step', ['load_rknn', 'init_runtime'])
def test_a_file_that_the_npu_refuses(step, made, toolkit):
    toolkit.refused = step
    with pytest.raises(DetectionError, match='--platform'):
        Detector(made)


def test_a_run_that_fails(made, toolkit):
    detector = Detector(made)
    toolkit.refused = 'inference'
    with pytest.raises(DetectionError, match='the NPU gave no result'):
        detector(np.zeros((64, 64, 3), np.uint8))


def test_without_the_boards_package(made, monkeypatch):
    monkeypatch.delitem(sys.modules, 'rknnlite.api')
    monkeypatch.delitem(sys.modules, 'rknnlite')
    monkeypatch.setattr('platform.machine', lambda: 'aarch64')
    with pytest.raises(DetectionError, match=r"pip install 'mmdet-lcp-runtime\[rknn\]'"):
        Detector(made)
    monkeypatch.setattr('platform.machine', lambda: 'x86_64')
    with pytest.raises(DetectionError, match=r'runs on a board with the NPU, and this is none'):
        Detector(made)
