"""Images that cannot be read are named."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile

from mmdet_lcp.compat.image_reading import unreadable_images_named
from mmdet_lcp.errors import CompressionError


@pytest.fixture
def image(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    path = tmp_path / 'some.png'
    cv2.imwrite(str(path), pixels)
    return path


def test_a_whole_one_is_read(image):
    read = LoadImageFromFile()({'img_path': str(image)})
    assert read['img'].shape == (40, 50, 3)
    assert (read['img'] == cv2.imread(str(image))).all()


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize('content', [b'', b'no image at all', None])
def test_what_cannot_be_read_is_named(image, content, backend):
    if content is None:
        content = image.read_bytes()[: image.stat().st_size // 2]
    image.write_bytes(content)
    with pytest.raises(CompressionError, match=r'some\.png: cannot be read as an image.*copy it'):
        LoadImageFromFile(imdecode_backend=backend)({'img_path': str(image)})


def test_one_that_is_missing_is_named(tmp_path):
    with pytest.raises(CompressionError, match=r'no\.png: cannot be read .*No such file'):
        LoadImageFromFile()({'img_path': str(tmp_path / 'no.png')})


def test_the_own_way_of_the_loader_stays(tmp_path):
    """`ignore_empty` gives None, and the caller draws another image."""
    assert LoadImageFromFile(ignore_empty=True)({'img_path': str(tmp_path / 'no.png')}) is None


def test_applied_once():
    before = LoadImageFromFile.transform
    unreadable_images_named()
    assert LoadImageFromFile.transform is before
