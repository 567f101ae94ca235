"""Photos of a test set, as a file takes them; None where there are none."""

import cv2
import numpy as np
import tiny
from mmengine.config import Config

from mmdet_lcp.export.geometry import Geometry
from mmdet_lcp.export.photos import first_photos, fitted


def test_the_first_of_the_test_set(tmp_path):
    cfg = Config.fromfile(tiny.make_config(tmp_path, tiny.make_data(tmp_path / 'data')))
    found = first_photos(cfg, Geometry(tiny.SIZE, tiny.SIZE), 3, 2)
    files = (tmp_path / 'data' / 'images').rglob('*.*')
    known = [cv2.imread(str(file)) for file in files]
    assert found.shape == (2, tiny.SIZE, tiny.SIZE, 3) and found.dtype == np.uint8
    assert all(any(np.array_equal(image, each) for each in known) for image in found)
    cfg.test_dataloader.dataset.ann_file = cfg.val_dataloader.dataset.ann_file = 'none.json'
    assert first_photos(cfg, Geometry(64, 64), 3, 2) is None


def test_letterbox():
    """Half as large, at the top left; grey below."""
    image = np.full((20, 40, 3), 200, np.uint8)
    found = fitted(image, Geometry(16, 20, 'letterbox', [1, 2, 3]))
    assert found.shape == (16, 20, 3)
    assert (found[:10] == 200).all() and (found[10:] == [1, 2, 3]).all()
    assert fitted(image, Geometry(16, 20)).min() == 200
