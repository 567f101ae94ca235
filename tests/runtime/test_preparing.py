"""What a file gets against OpenCV and against numbers worked by hand."""

import json
import sys

import numpy as np
import pytest
from made_onnx_files import facts

from mmdet_lcp_runtime import DetectionError, metadata
from mmdet_lcp_runtime.preparing import prepare, resize


def wanted(mode='letterbox', pad='bottom_right', **keys) -> metadata.Input:
    about = facts()
    about['input'].update(
        resize=dict(mode=mode, pad_value=[1, 2, 3], pad=pad), height=20, width=30, **keys
    )
    return metadata.read('x.onnx', json.dumps(about)).input


@pytest.mark.parametrize('size', [(20, 30), (7, 61), (41, 17), (3, 2), (100, 99)])
@pytest.mark.parametrize('channels', [1, 3, 4])
def test_bilinear_is_opencvs(size, channels, monkeypatch):
    """Which rounds its weights to eight bits: a level more or less."""
    cv2 = pytest.importorskip('cv2')
    image = np.random.default_rng(0).integers(0, 256, (41, 33, channels), np.uint8)
    expected = cv2.resize(image, size[::-1]).reshape(*size, channels)
    assert np.array_equal(resize(image, *size), expected)
    monkeypatch.setitem(sys.modules, 'cv2', None)
    found = resize(image, *size)
    assert found.shape == expected.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_letterbox():
    """40 wide, 10 high into 30 x 20: three quarters, 7.5 rows are 8."""
    image = np.full((10, 40, 3), (30, 20, 10), np.uint8)  # blue, green, red
    made, place = prepare(image, wanted())
    assert made.shape == (20, 30, 3) and made.dtype == np.uint8
    assert (made[:8] == (10, 20, 30)).all() and (made[8:] == (3, 2, 1)).all()  # red first
    assert place.scale == (0.75, 0.8) and place.offset == (0, 0)
    boxes = place.back(np.float32([[3, 4, 30, 8], [-5, 0, 99, 99]]))
    np.testing.assert_allclose(boxes, [[4, 5, 40, 10], [0, 0, 40, 10]])


def test_letterbox_in_the_middle():
    image = np.full((10, 40, 3), 9, np.uint8)
    made, place = prepare(image, wanted(pad='center'))
    assert (made[6:14] == 9).all() and (made[:6] == (3, 2, 1)).all()
    assert (made[14:] == (3, 2, 1)).all() and place.offset == (0, 6)
    np.testing.assert_allclose(place.back(np.float32([[3, 10, 30, 14]])), [[4, 5, 40, 10]])


def test_stretch():
    made, place = prepare(np.full((10, 40, 3), 9, np.uint8), wanted('stretch'))
    assert (made == 9).all() and made.shape == (20, 30, 3)
    np.testing.assert_allclose(place.back(np.float32([[3, 10, 30, 14]])), [[4, 5, 40, 7]])


def test_none():
    image = np.zeros((20, 30, 3), np.uint8)
    assert prepare(image, wanted('none'))[0].shape == (20, 30, 3)
    with pytest.raises(DetectionError, match='21 pixels high, the detector takes 20'):
        prepare(np.zeros((21, 30, 3), np.uint8), wanted('none'))
    with pytest.raises(DetectionError, match='29 pixels wide, the detector takes 30'):
        prepare(np.zeros((20, 29, 3), np.uint8), wanted('none'))


@pytest.mark.parametrize('color', ['bgr', 'rgb'])
def test_normalised_here(color):
    """Mean and standard deviation are in the order of the file's colours."""
    image = np.full((20, 30, 3), (30, 20, 10), np.uint8)
    given = wanted(dtype='float32', layout='NCHW', color=color, normalised_in_graph=False,
                   mean=[1.0, 2, 3], std=[2.0, 4, 8])  # fmt: skip
    made, _ = prepare(image, given)
    channels = (30, 20, 10) if color == 'bgr' else (10, 20, 30)
    assert made.shape == (3, 20, 30) and made.dtype == np.float32
    expected = [(v - m) / s for v, m, s in zip(channels, (1, 2, 3), (2, 4, 8), strict=True)]
    np.testing.assert_allclose(made[:, 5, 5], expected, rtol=1e-6)


def test_normalised_in_the_file():
    image = np.full((20, 30, 3), 200, np.uint8)
    made, _ = prepare(image, wanted(dtype='float32'))
    assert made.dtype == np.float32 and (made == 200).all()
