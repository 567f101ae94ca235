"""Images by OpenCV and by Pillow: both as mmcv reads them."""

import sys

import numpy as np
import pytest

from mmdet_lcp_runtime import DetectionError
from mmdet_lcp_runtime.images import as_pixels, read_image, write_image

cv2 = pytest.importorskip('cv2')
PIL = pytest.importorskip('PIL.Image')


@pytest.fixture(params=['cv2', 'PIL'])
def library(request, monkeypatch) -> str:
    """OpenCV is taken where it is installed."""
    if request.param == 'PIL':
        monkeypatch.setitem(sys.modules, 'cv2', None)
    return request.param


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def test_colours_and_alpha_and_gray(library, pixels, tmp_path):
    """Red, green, blue and alpha as Pillow is told to write them."""
    alpha = np.full((5, 7, 1), 99, np.uint8)
    PIL.fromarray(np.concatenate([pixels, alpha], 2)).save(tmp_path / 'rgba.png')
    PIL.fromarray(pixels).save(tmp_path / 'rgb.png')
    PIL.fromarray(pixels[..., 0]).save(tmp_path / 'gray.png')
    assert np.array_equal(read_image(tmp_path / 'rgb.png'), pixels[..., ::-1])
    found = read_image(tmp_path / 'rgba.png', 4)
    assert np.array_equal(found, np.concatenate([pixels[..., ::-1], alpha], 2))
    assert np.array_equal(read_image(tmp_path / 'gray.png', 1), pixels[..., :1])
    assert np.array_equal(read_image(tmp_path / 'gray.png'), pixels[..., [0, 0, 0]])
    with pytest.raises(DetectionError, match=r'rgb\.png: has 3 channels, the detector takes 4'):
        read_image(tmp_path / 'rgb.png', 4)


def test_a_turned_photo_is_upright(library, tmp_path):
    """Orientation 6: the camera was turned, the first column is the upper row."""
    image = PIL.fromarray(np.zeros((16, 32, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / 'x.jpg', exif=exif)
    assert read_image(tmp_path / 'x.jpg').shape == (32, 16, 3)


def test_what_cannot_be_read(library, pixels, tmp_path):
    with pytest.raises(DetectionError, match='there is no such file'):
        read_image(tmp_path / 'x.jpg')
    for name, data in (('empty.jpg', b''), ('text.jpg', b'not an image at all' * 9)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DetectionError, match=f'{name}: cannot be read as an image'):
            read_image(tmp_path / name)


def test_written_and_read_again(library, pixels, tmp_path):
    write_image(tmp_path / 'x.png', pixels)
    assert np.array_equal(cv2_or_pillow(tmp_path / 'x.png', library), pixels)
    with pytest.raises(DetectionError, match='cannot be written as an image'):
        write_image(tmp_path / 'x.nothing', pixels)


def cv2_or_pillow(path, library) -> np.ndarray:
    return cv2.imread(str(path)) if library == 'cv2' else np.asarray(PIL.open(path))[..., ::-1]


def test_neither_is_installed(pixels, tmp_path, monkeypatch):
    write_image(tmp_path / 'x.png', pixels)
    for name in ('cv2', 'PIL'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DetectionError, match=r'needs the package PIL.*mmdet-lcp-runtime\[images'):
        read_image(tmp_path / 'x.png')
    assert as_pixels(pixels, 3) is pixels  # arrays need neither


def test_arrays(pixels):
    assert np.array_equal(as_pixels(pixels, 3, 'rgb'), pixels[..., ::-1])
    assert as_pixels(pixels[..., 0], 1).shape == (5, 7, 1)
    four = np.concatenate([pixels, pixels[..., :1]], 2)
    assert np.array_equal(as_pixels(four, 4, 'rgb'), four[..., [2, 1, 0, 3]])


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.zeros((5, 7, 3), np.float32), 'has the type uint8, 0 to 255, not float32'),
        (np.zeros((2, 5, 7, 3), np.uint8), 'give a list'),
        (np.zeros((0, 7, 3), np.uint8), 'shape'),
        (np.zeros((5, 7), np.uint8), 'has 1 channels, the detector takes 3'),
        (np.zeros((5, 7, 4), np.uint8), 'has 4 channels, the detector takes 3'),
        (3, 'not int'),
    ],
)
def test_wrong_arrays(image, message):
    with pytest.raises(DetectionError, match=message):
        as_pixels(image, 3)
