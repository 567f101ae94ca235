"""Detection data made on the spot: real handwritten digits on cluttered backgrounds, no download.

The digits are the 1797 images of 8x8 pixels that scikit-learn carries (the test part of UCI's
*Optical Recognition of Handwritten Digits*, by 13 writers). Each one is enlarged, bent, rotated
and coloured, and put where it finds room on a textured background, among strokes, blobs, letters
and pieces of other digits. So a detector has to find the digits and to tell them apart. The
source digits are divided among train, val and test: no digit of one split is ever seen in
another, though its writer may be.

The same parameters give the same files, byte for byte (with the same versions of NumPy, OpenCV
and scikit-learn).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmdet_lcp.datasets.digit_scenes import Glyphs, render_scene
from mmdet_lcp.errors import CompressionError

__all__ = ['DEFAULT_SIZES', 'SPLITS', 'DigitsDataset', 'generate_digits']

SPLITS = ('train', 'val', 'test')
"""The splits, in the order in which the source digits are divided among them."""

DEFAULT_SIZES = {'train': 1000, 'val': 200, 'test': 300}
"""Number of images of a split that is not asked for."""

_FORMAT = 'mmdet_lcp digits'
_VERSION = 1  # raise it whenever the same parameters would give other pictures
_SOURCE_SHARE = {'train': 0.7, 'val': 0.1, 'test': 0.2}  # of the source digits of every class
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class DigitsDataset:
    """What lies in the folder after :func:`generate_digits`.

    Attributes:
        root: The data set's folder.
        created: False when the folder already held exactly this data.
        images: Number of images of each split.
        boxes: Number of boxes of each split.
    """

    root: Path
    created: bool
    images: dict[str, int]
    boxes: dict[str, int]


def generate_digits(
    out_dir: str | os.PathLike,
    *,
    seed: int = 0,
    image_size: int = 160,
    sizes: Mapping[str, int] | None = None,
    digits_per_image: Sequence[int] = (1, 5),
    digit_scale: Sequence[float] = (0.15, 0.5),
    clutter: float = 1.0,
) -> DigitsDataset:
    """Writes a COCO data set of handwritten digits, unless the folder already holds it.

    The folder gets ``annotations/{train,val,test}.json`` (COCO; categories ``'0'`` to ``'9'`` with
    ids 0 to 9; boxes tight around the ink, in whole pixels), ``images/{split}/00001.jpg`` and
    ``dataset.json``, which holds the parameters. Everything is written to a folder beside it,
    which takes its name when complete, so a half-written data set is never found.

    Args:
        out_dir: Where to write. It must not exist, be empty, or hold this very data set.
        seed: Any integer from 0 up. An image depends on it and on its own number only, so a
            larger split begins with the images of a smaller one.
        image_size: Side of the square images in pixels, at least 64.
        sizes: Number of images of ``'train'``, ``'val'`` and ``'test'``, each at least 1. Splits
            left out take 1000, 200 and 300.
        digits_per_image: Fewest and most digits in an image; those that find no room are left
            out, so the most is not always reached, but every image has at least one.
        digit_scale: Smallest and largest height of an upright digit, as a part of ``image_size``,
            within (0, 0.7].
        clutter: Multiplies the number of distractors; 0 leaves a textured background only.

    Returns:
        What the folder holds now.

    Raises:
        CompressionError: If scikit-learn is missing, a parameter is out of its range, or the
            folder holds anything else.
    """
    params = _check_params(seed, image_size, sizes, digits_per_image, digit_scale, clutter)
    root = Path(out_dir).resolve()
    found = _find_existing(root, params)
    if found is not None:
        return found

    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
    except OSError as error:
        raise CompressionError(f'cannot write to {root.parent}: {error}') from error
    try:
        glyphs = _load_glyphs(seed)
        boxes = {split: _write_split(building, split, glyphs[split], params) for split in SPLITS}
        record = {'format': _FORMAT, 'version': _VERSION, 'params': params, 'boxes': boxes}
        (building / 'dataset.json').write_text(json.dumps(record, indent=2) + '\n')
        building.chmod(0o755)
        _move_into_place(building, root, params)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return DigitsDataset(root, True, dict(params['sizes']), boxes)


# ------------------------------------------------------------------------------- parameters, disk


def _check_params(seed, image_size, sizes, digits_per_image, digit_scale, clutter) -> dict:
    """Returns the parameters as JSON gives them back, or raises CompressionError."""

    def require(condition: bool, text: str) -> None:
        if not condition:
            raise CompressionError(f'digits: {text}')

    def is_int(value: object) -> bool:
        return isinstance(value, int | np.integer) and not isinstance(value, bool)

    require(is_int(seed) and seed >= 0, f'seed must be an integer from 0 up, got {seed!r}')
    require(
        is_int(image_size) and image_size >= 64,
        f'image_size must be an integer of at least 64 pixels, got {image_size!r}',
    )
    sizes = dict(sizes or {})
    unknown = sorted(set(sizes) - set(SPLITS), key=str)
    require(not unknown, f'unknown split(s) {unknown}; the splits are {list(SPLITS)}')
    sizes = {split: sizes.get(split, DEFAULT_SIZES[split]) for split in SPLITS}
    for split, size in sizes.items():
        require(
            is_int(size) and size >= 1,
            f'the number of {split} images must be an integer of at least 1, got {size!r}',
        )
    for name, pair in (('digits_per_image', digits_per_image), ('digit_scale', digit_scale)):
        require(
            isinstance(pair, Sequence) and len(pair) == 2,
            f'{name} must be a pair (least, most), got {pair!r}',
        )
    fewest, most = digits_per_image
    require(
        is_int(fewest) and is_int(most) and 1 <= fewest <= most,
        f'digits_per_image must be two integers, 1 <= fewest <= most, got {digits_per_image!r}',
    )
    small, large = digit_scale
    require(
        0 < small <= large <= 0.7 and small * image_size >= 8,
        'digit_scale must be two parts of image_size, smallest <= largest <= 0.7, the smallest '
        f'at least 8 pixels; got {digit_scale!r} of {image_size}',
    )
    require(0 <= clutter <= 10, f'clutter must lie in [0, 10], got {clutter!r}')
    return {
        'seed': int(seed),
        'image_size': int(image_size),
        'sizes': {split: int(size) for split, size in sizes.items()},
        'digits_per_image': [int(fewest), int(most)],
        'digit_scale': [float(small), float(large)],
        'clutter': float(clutter),
    }


def _find_existing(root: Path, params: dict) -> DigitsDataset | None:
    """Returns the data set in ``root``, None if there is nothing, or raises CompressionError."""
    if not root.exists():
        return None
    if not root.is_dir():
        raise CompressionError(f'{root} is a file, not a folder')
    if not any(root.iterdir()):
        return None
    try:
        record = json.loads((root / 'dataset.json').read_text())
        known = record['format'] == _FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise CompressionError(
            f'{root} holds something that is not a digits data set; choose another folder'
        )
    here = {'version': record.get('version'), **record.get('params', {})}
    asked = {'version': _VERSION, **params}
    other = [
        f'{key} is {here.get(key)!r} there, {value!r} was asked'
        for key, value in asked.items()
        if here.get(key) != value
    ]
    if other:
        raise CompressionError(
            f'{root} holds a digits data set with other parameters ({"; ".join(other)}); '
            'remove it or choose another folder'
        )
    for split, size in params['sizes'].items():
        images = len(list((root / 'images' / split).glob('*.jpg')))
        if images != size or not (root / 'annotations' / f'{split}.json').is_file():
            raise CompressionError(
                f'{root} has {images} of {size} {split} images or lacks '
                f'annotations/{split}.json: files were removed; remove the folder to make it anew'
            )
    return DigitsDataset(root, False, dict(params['sizes']), dict(record['boxes']))


def _move_into_place(building: Path, root: Path, params: dict) -> None:
    """Gives the complete folder its name; another process that was faster is no error."""
    try:
        building.rename(root)
    except OSError as error:
        if _find_existing(root, params) is None:
            raise CompressionError(f'cannot write {root}: {error}') from error


def _write_split(root: Path, split: str, glyphs: Glyphs, params: dict) -> int:
    """Writes the images and the COCO file of one split; returns its number of boxes."""
    folder = root / 'images' / split
    folder.mkdir(parents=True)
    size = params['image_size']
    images, annotations = [], []
    for number in range(1, params['sizes'][split] + 1):
        rng = np.random.default_rng([params['seed'], SPLITS.index(split), number])
        image, instances = render_scene(rng, glyphs, params)
        name = f'{number:05d}.jpg'
        _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        (folder / name).write_bytes(data.tobytes())
        images.append({'id': number, 'file_name': name, 'width': size, 'height': size})
        for instance in instances:
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': instance.label,
                    'bbox': list(instance.box),
                    'area': instance.box[2] * instance.box[3],
                    'iscrowd': 0,
                    'source_digit': instance.source,
                }
            )
    coco = {
        'info': {'description': f'{_FORMAT}, {split}, seed {params["seed"]}'},
        'categories': [{'id': i, 'name': str(i), 'supercategory': 'digit'} for i in range(10)],
        'images': images,
        'annotations': annotations,
    }
    (root / 'annotations').mkdir(exist_ok=True)
    (root / 'annotations' / f'{split}.json').write_text(json.dumps(coco) + '\n')
    return len(annotations)


def _load_glyphs(seed: int) -> dict[str, Glyphs]:
    """Divides the source digits of every class among the splits, without a common one."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise CompressionError(
            'the digits come with scikit-learn, which is not installed: pip install scikit-learn'
        ) from error
    source = load_digits()
    pixels = (source.images / 16.0).astype(np.float32)
    labels = source.target.astype(np.int64)
    rng = np.random.default_rng([seed, len(SPLITS)])
    chosen: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    edges = np.cumsum([_SOURCE_SHARE[split] for split in SPLITS[:-1]])
    for label in range(10):
        order = rng.permutation(np.flatnonzero(labels == label))
        parts = np.split(order, np.round(edges * len(order)).astype(int))
        for split, part in zip(SPLITS, parts, strict=True):
            chosen[split].append(part)
    result = {}
    for split, parts in chosen.items():
        index = np.sort(np.concatenate(parts))
        result[split] = Glyphs(pixels[index], labels[index], index)
    return result
