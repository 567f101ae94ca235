"""Single pictures in a work_dir."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.report.painter import Painter
from mmdet_lcp.report.seen_images import SeenImage
from mmdet_lcp.report.stored_pictures import FOLDER, INDEX, read_pictures, store_pictures

KINDS = ('truth', 'dense', 'compressed')


def boxes(*scores) -> InstanceData:
    return InstanceData(
        bboxes=torch.tensor([[10.0, 10, 50, 40]] * len(scores)).reshape(-1, 4),
        labels=torch.zeros(len(scores), dtype=torch.long),
        scores=torch.tensor(scores),
    )


def seen(remark='') -> SeenImage:
    image = np.full((60, 80, 3), (10, 200, 90), np.uint8)
    truth = InstanceData(bboxes=torch.tensor([[10.0, 10, 50, 40]]), labels=torch.tensor([0]))
    return SeenImage(image, truth, boxes(0.9, 0.31, 0.2), boxes(0.1), remark)


def test_written_and_read(tmp_path):
    painter = Painter(dict(classes=('$a$',), palette=[(220, 20, 60)]))
    store_pictures([seen(), seen('misses 1 object')], painter, tmp_path)
    first, second = read_pictures(tmp_path)
    assert first.boxes == [1, 2, 0]  # what scores 0.3 or more
    assert (first.remark, second.remark, first.score_thr) == ('', 'misses 1 object', 0.3)
    shown = {name: cv2.imread(str(tmp_path / FOLDER / getattr(first, name))) for name in KINDS}
    assert all(picture.shape == (480, 640, 3) for picture in shown.values())
    middle = shown['compressed'][240, 320]  # BGR: no box is drawn
    assert np.abs(middle.astype(int) - (90, 200, 10)).max() < 6
    edge = shown['dense'][80:320, 80:83].reshape(-1, 3).mean(0)  # the box begins at 10 * 8
    assert edge[2] > 100 and edge[1] < 150  # in red; the image has 10 and 200


def test_what_is_gone_is_left_out(tmp_path):
    assert read_pictures(tmp_path) == []
    store_pictures([seen(), seen()], Painter({}), tmp_path)
    (tmp_path / FOLDER / '01_dense.jpg').unlink()
    assert [one.dense for one in read_pictures(tmp_path)] == ['00_dense.jpg']
    (tmp_path / FOLDER / INDEX).write_text('{"pictures": [{"truth": 1}]}')
    with pytest.raises(CompressionError, match='is damaged'):
        read_pictures(tmp_path)
