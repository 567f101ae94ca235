import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.report import pictures
from mmdet_lcp.report.pictures import detections_side_by_side
from mmdet_lcp.report.seen_images import original_image

META = dict(classes=('cell', 'spot'), palette=[(220, 20, 60), (0, 82, 200)])


class Items(list):
    metainfo = META


def item(height=60, width=80, scale=0.5, pad=0, boxes=((5, 5, 30, 40), (50, 20, 58, 28))):
    image = np.full((round(height * scale), round(width * scale), 3), 200, np.uint8)
    image[..., 0] = 10  # blue
    image = np.pad(image, ((0, pad), (0, pad), (0, 0)))
    sample = DetDataSample(
        metainfo=dict(
            img_id=0,
            img_path='nowhere.jpg',
            img_shape=image.shape[:2],
            ori_shape=(height, width),
            scale_factor=(scale, scale),
        )
    )
    sample.gt_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.tensor(boxes, dtype=torch.float).reshape(-1, 4)),
        labels=torch.arange(len(boxes)) % 2,
    )
    return dict(inputs=torch.from_numpy(image).permute(2, 0, 1), data_samples=sample)


@pytest.fixture(scope='module')
def detector():
    register_all_modules()
    head = dict(
        type='RetinaHead',
        num_classes=2,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[2, 4], ratios=[1.0], strides=[4, 8, 16, 32, 64]
        ),
    )
    neck = dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=8, num_outs=5)
    cfg = dict(
        type='RetinaNet',
        data_preprocessor=dict(type='DetDataPreprocessor', bgr_to_rgb=True, pad_size_divisor=32),
        backbone=dict(type='ResNet', depth=18, base_channels=8, frozen_stages=1, style='pytorch'),
        neck=neck,
        bbox_head=head,
        test_cfg=dict(
            nms_pre=50, score_thr=0.0, max_per_img=5, nms=dict(type='nms', iou_threshold=0.5)
        ),
    )
    return MODELS.build(ConfigDict(cfg)).train()


def read(path):
    return cv2.imread(str(path))


def test_three_readable_columns(detector, tmp_path):
    data = Items([item(), item(pad=7), item()])
    modes = [module.training for module in detector.modules()]
    path = tmp_path / 'a' / 'detections.png'
    detections_side_by_side(detector, detector, data, path, score_thr=0.0, num_images=2)
    picture = read(path)
    assert picture.shape == (2 * (34 + 480) + 6, 3 * 640 + 2 * 6, 3)
    assert modes == [module.training for module in detector.modules()]
    assert 'pred_instances' not in data[0]['data_samples']
    truth, dense, compressed = picture[:514, :640], picture[:514, 646:1286], picture[:514, 1292:]
    assert np.array_equal(dense[34:], compressed[34:])
    assert not np.array_equal(truth[34:], dense[34:])
    red = (truth[..., 2] > 150) & (truth[..., 1] < 80)  # the first box in its class's colour
    rows, columns = np.where(red)
    assert abs(columns.min() - 5 * 8) < 4 and abs(columns.max() - 30 * 8) < 4
    assert abs(rows.max() - 34 - 40 * 8) < 4


def test_nothing_above_the_threshold_and_no_ground_truth(detector, tmp_path):
    with_truth, without = item(), item()
    del without['data_samples'].gt_instances
    pairs = [(d['inputs'], d['data_samples']) for d in (with_truth, without, item(boxes=()))]
    path = tmp_path / 'x.png'
    detections_side_by_side(detector, detector, pairs, path, score_thr=1.0)
    assert len(read(path)) == 3 * 514 + 2 * 6


def test_images_of_different_and_extreme_shapes_and_classes_unknown(detector, tmp_path):
    data = [item(), item(height=90, width=40, boxes=((-9, -9, 300, 300), (3, 3, 3, 9)))]
    data[0]['data_samples'].gt_instances.labels += 7
    path = tmp_path / 'x.png'
    detections_side_by_side(
        detector, detector, data, path, score_thr=0.0, dataset_meta=dict(classes=('a',))
    )
    assert min(read(path).shape[:2]) > 600


def test_image_comes_from_its_file_or_without_the_padding(tmp_path):
    data = item(pad=9)
    image = original_image(data['inputs'], data['data_samples'])
    assert image.shape == (60, 80, 3)
    assert (image == (200, 200, 10)).all()  # RGB
    path = tmp_path / 'x.png'
    cv2.imwrite(str(path), np.full((60, 80, 3), (1, 2, 3), np.uint8))
    data['data_samples'].set_metainfo(dict(img_path=str(path)))
    assert (original_image(data['inputs'], data['data_samples']) == (3, 2, 1)).all()


class Photos(Items):
    """Noise as large as photos, the worst for a PNG; only some have objects."""

    def __init__(self, count, with_objects):
        super().__init__([item(300, 400, 1.0) for _ in range(count)])
        generator = torch.Generator().manual_seed(0)
        for number, one in enumerate(self):
            noise = torch.randint(0, 256, (3, 300, 400), generator=generator, dtype=torch.uint8)
            noise[:, 0, 0] = number
            one['inputs'] = noise
        self.with_objects = with_objects
        self.asked = []

    def get_data_info(self, index):
        found = [dict(bbox_label=0, ignore_flag=0)] * (index in self.with_objects)
        return dict(instances=found)

    def __getitem__(self, index):
        self.asked.append(index)
        return super().__getitem__(index)


@pytest.mark.parametrize(
    ('most', 'rows', 'width'),
    [(500_000, 2, (960, 1800)), (110_000, 1, (600, 980))],
)
def test_the_file_stays_small(detector, tmp_path, monkeypatch, most, rows, width):
    """Smaller cells first, and not below what can be read; then fewer rows."""
    assert pictures._MOST_BYTES == 1_000_000
    monkeypatch.setattr(pictures, '_MOST_BYTES', most)
    path = tmp_path / 'x.png'
    detections_side_by_side(detector, detector, Photos(2, range(2)), path)
    assert path.stat().st_size <= most
    shape = read(path).shape
    assert width[0] <= shape[1] <= width[1]
    assert round(shape[0] / (shape[1] / 4 + 40)) == rows


@pytest.mark.parametrize(
    ('count', 'with_objects', 'shown'),
    [
        (3, range(3), [0, 1, 2]),
        (40, range(40), [5, 15, 25, 35]),
        (40, (0, 12, 19, 36), [0, 12, 25, 36]),
    ],
)
def test_images_lie_over_the_set(detector, tmp_path, monkeypatch, count, with_objects, shown):
    """One of each quarter: the one with objects that is nearest to its middle."""
    data = Photos(count, with_objects)
    monkeypatch.setattr('mmdet_lcp.report.pictures._small_enough', lambda *_: b'picture')
    detections_side_by_side(detector, detector, data, tmp_path / 'x.png')
    assert data.asked == shown


def test_captions_name_the_detectors_and_the_threshold(detector, tmp_path, monkeypatch):
    captions = []
    monkeypatch.setattr(
        'mmdet_lcp.report.pictures._small_enough',
        lambda _, rows: captions.extend(c for _, cells in rows for c, _ in cells) or b'picture',
    )
    detections_side_by_side(
        detector, detector, Items([item()]), tmp_path / 'x.png', 'pruned', score_thr=0.25
    )
    assert captions == ['ground truth', 'pruned, score >= 0.25', 'compressed, score >= 0.25']


def test_class_names_are_no_formulas(detector, tmp_path):
    """matplotlib refuses the first name, and draws the second one without its dollars."""
    drawn = []
    for number, name in enumerate(('$_{$', '$a$', 'a', '{a}')):
        path = tmp_path / f'{number}.png'
        meta = dict(META, classes=(name, name))
        detections_side_by_side(detector, detector, [item()], path, dataset_meta=meta)
        drawn.append(read(path))
    assert not np.array_equal(drawn[1], drawn[2])


def test_empty_data_set(detector, tmp_path):
    with pytest.raises(CompressionError, match='test data set is empty'):
        detections_side_by_side(detector, detector, [], tmp_path / 'x.png')
    with pytest.raises(CompressionError, match='at least one image'):
        detections_side_by_side(detector, detector, [item()], tmp_path / 'x.png', num_images=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('inputs', 'expected'),
    [
        (torch.tensor([[[7, 9]]]), [[[7, 7, 7], [9, 9, 9]]]),  # grey
        (torch.tensor([[[1]], [[2]], [[3]], [[4]]]), [[[3, 2, 1]]]),  # BGR and one more
        (torch.tensor([[[65535, 0]]] * 3), [[[255] * 3, [0] * 3]]),  # 16 bits
    ],
)
def test_images_without_a_file(inputs, expected):
    found = original_image(inputs, DetDataSample())
    assert found.dtype == np.uint8 and found.tolist() == expected
