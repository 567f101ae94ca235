"""The built-in digits: the same bytes from the same seed, tight boxes, disjoint splits."""

import builtins
import json
from pathlib import Path

import cv2
import pytest
from pycocotools.coco import COCO

from mmdet_lcp.datasets.digits import (
    SPLITS,
    _load_glyphs,
    generate_digits,
)
from mmdet_lcp.errors import CompressionError

SIZES = {'train': 12, 'val': 4, 'test': 6}


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    return generate_digits(tmp_path_factory.mktemp('data') / 'digits', sizes=SIZES)


def read_files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def read_coco(root: Path, split: str) -> dict:
    return json.loads((root / 'annotations' / f'{split}.json').read_text())


def test_writes_what_it_says(digits):
    assert digits.created
    assert digits.images == SIZES
    for split in SPLITS:
        coco = read_coco(digits.root, split)
        names = [image['file_name'] for image in coco['images']]
        assert names == [f'{i:05d}.jpg' for i in range(1, SIZES[split] + 1)]
        assert {p.name for p in (digits.root / 'images' / split).iterdir()} == set(names)
        assert len(coco['annotations']) == digits.boxes[split]
        assert {a['image_id'] for a in coco['annotations']} == {i['id'] for i in coco['images']}
        assert [c['name'] for c in coco['categories']] == list('0123456789')
        picture = cv2.imread(str(digits.root / 'images' / split / names[0]))
        assert picture.shape == (160, 160, 3)
    leftovers = [p for p in digits.root.parent.iterdir() if p != digits.root]
    assert leftovers == []


def test_same_seed_gives_the_same_bytes_and_another_seed_others(digits, tmp_path):
    again = generate_digits(tmp_path / 'again', sizes=SIZES)
    assert read_files(again.root) == read_files(digits.root)
    other = generate_digits(tmp_path / 'other', seed=1, sizes=SIZES)
    name = 'images/train/00001.jpg'
    assert read_files(other.root)[name] != read_files(digits.root)[name]


def test_a_larger_split_begins_with_the_smaller_one(digits, tmp_path):
    larger = generate_digits(tmp_path / 'larger', sizes={**SIZES, 'train': 15})
    small, large = (read_files(d.root) for d in (digits, larger))
    for name, data in small.items():
        if name.endswith('.jpg'):
            assert large[name] == data
    boxes = read_coco(digits.root, 'train')['annotations']
    assert read_coco(larger.root, 'train')['annotations'][: len(boxes)] == boxes


@pytest.mark.parametrize('seed', [0, 7])
def test_splits_share_no_source_digit(seed):
    glyphs = _load_glyphs(seed)
    parts = [set(glyphs[split].index.tolist()) for split in SPLITS]
    assert sum(len(part) for part in parts) == len(set().union(*parts)) == 1797
    assert all(set(glyphs[split].labels.tolist()) == set(range(10)) for split in SPLITS)


def test_annotations_name_digits_of_their_own_split(digits):
    from sklearn.datasets import load_digits

    labels = load_digits().target
    glyphs = _load_glyphs(0)
    for split in SPLITS:
        for ann in read_coco(digits.root, split)['annotations']:
            assert ann['source_digit'] in glyphs[split].index
            assert labels[ann['source_digit']] == ann['category_id']


def test_boxes_lie_inside_and_overlap_little(digits):
    for split in SPLITS:
        per_image: dict[int, list] = {}
        for ann in read_coco(digits.root, split)['annotations']:
            x, y, w, h = ann['bbox']
            assert 0 <= x < x + w <= 160
            assert 0 <= y < y + h <= 160
            assert ann['area'] == w * h
            assert ann['iscrowd'] == 0
            assert max(w, h) >= 16
            per_image.setdefault(ann['image_id'], []).append((x, y, w, h))
        for boxes in per_image.values():
            for i, (x1, y1, w1, h1) in enumerate(boxes):
                for x2, y2, w2, h2 in boxes[i + 1 :]:
                    width = min(x1 + w1, x2 + w2) - max(x1, x2)
                    height = min(y1 + h1, y2 + h2) - max(y1, y2)
                    assert max(width, 0) * max(height, 0) <= 0.12 * min(w1 * h1, w2 * h2)


def test_largest_digits_fit_in_the_smallest_image(tmp_path):
    data = generate_digits(
        tmp_path / 'd', image_size=64, sizes=SIZES, digit_scale=(0.7, 0.7), clutter=3
    )
    for split in SPLITS:
        for ann in read_coco(data.root, split)['annotations']:
            x, y, w, h = ann['bbox']
            assert x >= 0
            assert x + w <= 64
            assert y >= 0
            assert y + h <= 64
    assert data.boxes['train'] >= SIZES['train']


def test_same_parameters_are_skipped(digits):
    before = {p: p.stat().st_mtime_ns for p in digits.root.rglob('*')}
    again = generate_digits(digits.root, sizes=SIZES)
    assert not again.created
    assert (again.images, again.boxes) == (digits.images, digits.boxes)
    assert {p: p.stat().st_mtime_ns for p in digits.root.rglob('*')} == before


def test_other_parameters_are_refused_and_named(digits):
    before = read_files(digits.root)
    with pytest.raises(CompressionError, match='seed is 0 there, 5 was asked'):
        generate_digits(digits.root, seed=5, sizes=SIZES)
    assert read_files(digits.root) == before


def test_foreign_folder_and_file_are_refused(tmp_path):
    foreign = tmp_path / 'mine'
    foreign.mkdir()
    (foreign / 'thesis.txt').write_text('years of work')
    with pytest.raises(CompressionError, match='not a digits data set'):
        generate_digits(foreign, sizes=SIZES)
    assert [p.name for p in foreign.iterdir()] == ['thesis.txt']
    (foreign / 'dataset.json').write_text('[]')
    with pytest.raises(CompressionError, match='not a digits data set'):
        generate_digits(foreign, sizes=SIZES)
    with pytest.raises(CompressionError, match='is a file'):
        generate_digits(foreign / 'thesis.txt', sizes=SIZES)
    assert [p.name for p in tmp_path.iterdir()] == ['mine']


def test_removed_images_are_noticed(tmp_path):
    data = generate_digits(tmp_path / 'd', sizes=SIZES)
    (data.root / 'images' / 'val' / '00002.jpg').unlink()
    with pytest.raises(CompressionError, match='3 of 4 val images'):
        generate_digits(data.root, sizes=SIZES)


def test_empty_folder_is_filled_and_a_failure_leaves_nothing(tmp_path, monkeypatch):
    root = tmp_path / 'd'
    root.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr('mmdet_lcp.datasets.digits._write_split', lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            generate_digits(root, sizes=SIZES)
    assert [p.name for p in tmp_path.iterdir()] == ['d']
    assert list(root.iterdir()) == []
    assert generate_digits(root, sizes=SIZES).created


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'seed': -1}, 'seed'),
        ({'seed': 1.5}, 'seed'),
        ({'image_size': 32}, 'image_size'),
        ({'sizes': {'train': 0}}, 'number of train images'),
        ({'sizes': {'trian': 5}}, "unknown split.*'trian'"),
        ({'digits_per_image': (3, 1)}, 'digits_per_image'),
        ({'digits_per_image': 3}, 'digits_per_image'),
        ({'digit_scale': (0.1, 0.9)}, 'digit_scale'),
        ({'digit_scale': (0.01, 0.5)}, 'digit_scale'),
        ({'clutter': -1}, 'clutter'),
        ({'clutter': float('nan')}, 'clutter'),
    ],
)
def test_bad_parameters_are_named(tmp_path, kwargs, message):
    with pytest.raises(CompressionError, match=message):
        generate_digits(tmp_path / 'd', **kwargs)
    assert not (tmp_path / 'd').exists()


def test_missing_scikit_learn_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without_sklearn(name, *args, **kwargs):
        if name.startswith('sklearn'):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', without_sklearn)
    with pytest.raises(CompressionError, match='pip install scikit-learn'):
        generate_digits(tmp_path / 'd', sizes=SIZES)
    assert list(tmp_path.iterdir()) == []


def test_pycocotools_and_mmdet_read_it(digits):
    from mmdet.datasets import CocoDataset

    for split in SPLITS:
        coco = COCO(str(digits.root / 'annotations' / f'{split}.json'))
        assert len(coco.getImgIds()) == SIZES[split]
        dataset = CocoDataset(
            data_root=str(digits.root),
            ann_file=f'annotations/{split}.json',
            data_prefix={'img': f'images/{split}/'},
            metainfo={'classes': tuple('0123456789')},
            filter_cfg={'filter_empty_gt': True},
        )
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        assert len(infos) == SIZES[split]
        assert sum(len(info['instances']) for info in infos) == digits.boxes[split]
        assert all(Path(info['img_path']).is_file() for info in infos)
        labels = [i['bbox_label'] for info in infos for i in info['instances']]
        assert labels == [a['category_id'] for a in coco.loadAnns(coco.getAnnIds())]
