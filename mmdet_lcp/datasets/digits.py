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
_PLACING_TRIES = 40
_MAX_COVERED = 0.12  # a new digit's box covers at most this part of the smaller of two boxes
_LETTERS = 'AEFHKMNRTVWXY&#?'  # none that reads as a digit
_FRAGMENT_CLASSES = (0, 2, 3, 5, 6, 8, 9)  # pieces of 1, 4 and 7 would read as a 1
_LUMA = np.array([0.114, 0.587, 0.299])  # of blue, green, red


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


@dataclass(frozen=True)
class _Glyphs:
    """Source digits: ``pixels`` (N, 8, 8) float32 in [0, 1], ``labels`` (N,), ``index`` (N,)."""

    pixels: np.ndarray
    labels: np.ndarray
    index: np.ndarray


@dataclass(frozen=True)
class _Instance:
    """One digit in a scene: its tight box (x, y, w, h) in whole pixels and where it is from."""

    box: tuple[int, int, int, int]
    label: int
    source: int


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


def _write_split(root: Path, split: str, glyphs: _Glyphs, params: dict) -> int:
    """Writes the images and the COCO file of one split; returns its number of boxes."""
    folder = root / 'images' / split
    folder.mkdir(parents=True)
    size = params['image_size']
    images, annotations = [], []
    for number in range(1, params['sizes'][split] + 1):
        rng = np.random.default_rng([params['seed'], SPLITS.index(split), number])
        image, instances = _render_scene(rng, glyphs, params)
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


def _load_glyphs(seed: int) -> dict[str, _Glyphs]:
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
        result[split] = _Glyphs(pixels[index], labels[index], index)
    return result


# ----------------------------------------------------------------------------------- the pictures


def _render_scene(
    rng: np.random.Generator, glyphs: _Glyphs, params: dict, with_digits: bool = True
) -> tuple[np.ndarray, list[_Instance]]:
    """Renders one image.

    Returns:
        The image (size, size, 3) uint8 BGR, and the digits on it. Without digits it is the same
        image before any was put on it: the two differ nowhere outside the digits' boxes.
    """
    size = params['image_size']
    canvas = _background(rng, size)
    _draw_distractors(rng, canvas, glyphs, params)
    noise = rng.standard_normal(canvas.shape, np.float32) * np.float32(rng.uniform(0, 5))
    instances: list[_Instance] = []
    if with_digits:
        fewest, most = params['digits_per_image']
        for _ in range(int(rng.integers(fewest, most + 1))):
            pick = int(rng.integers(len(glyphs.labels)))
            alpha = _digit_ink(rng, glyphs.pixels[pick], _height(rng, params), size)
            spot = _find_room(rng, alpha.shape, size, [instance.box for instance in instances])
            if spot is None:
                continue
            _blend(rng, canvas, alpha, spot)
            box = (*spot, alpha.shape[1], alpha.shape[0])
            instances.append(_Instance(box, int(glyphs.labels[pick]), int(glyphs.index[pick])))
    canvas += noise
    return np.clip(canvas, 0, 255, out=canvas).round().astype(np.uint8), instances


def _height(rng: np.random.Generator, params: dict) -> float:
    """Draws a digit's height in pixels, evenly on a logarithmic scale."""
    small, large = params['digit_scale']
    return float(np.exp(rng.uniform(np.log(small), np.log(large))) * params['image_size'])


def _noise_field(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth random field (size, size) with about ``cells`` bumps a side, in about [-1, 1]."""
    grid = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A textured, coloured canvas (size, size, 3) float32 in [0, 255]."""
    luma = rng.uniform(45, 210) + np.zeros((size, size), np.float32)
    for cells, strength in ((2, 30.0), (6, 16.0), (18, 9.0), (50, 7.0)):
        luma += rng.uniform(0, strength) * _noise_field(rng, size, cells)
    if rng.random() < 0.4:  # stripes
        angle, waves = rng.uniform(0, np.pi), rng.uniform(4, 16)
        step = np.linspace(0, 2 * np.pi * waves, size, dtype=np.float32)
        along = step * np.float32(np.cos(angle)) + step[:, None] * np.float32(np.sin(angle))
        luma += rng.uniform(3, 12) * np.sin(along + np.float32(rng.uniform(0, 6)))
    canvas = np.repeat(luma[..., None], 3, axis=2)
    tint = _chroma(rng, 16)
    other = _chroma(rng, 16)
    mix = np.clip(0.5 + 0.5 * _noise_field(rng, size, 2), 0, 1)[..., None]
    canvas += tint * mix + other * (1 - mix)
    for _ in range(int(rng.integers(0, 4))):  # panels: edges that belong to nothing
        centre = rng.uniform(0, size, 2)
        sides = rng.uniform(0.15, 0.6, 2) * size
        corners = cv2.boxPoints((tuple(centre), tuple(sides), float(rng.uniform(0, 90))))
        mask = np.zeros((size, size), np.uint8)
        cv2.fillPoly(mask, [corners.astype(np.int32)], 255, cv2.LINE_AA)
        shift = float(rng.choice([-1, 1])) * rng.uniform(8, 28) + _chroma(rng, 10)
        canvas += (mask * np.float32(1 / 255))[..., None] * shift
    return np.clip(canvas, 0, 255, out=canvas)


def _chroma(rng: np.random.Generator, strength: float) -> np.ndarray:
    """A random colour shift (3,) that leaves the brightness as it is."""
    shift = rng.normal(0, strength, 3)
    return (shift - _LUMA @ shift).astype(np.float32)


def _digit_ink(
    rng: np.random.Generator, pixels: np.ndarray, height: float, limit: int
) -> np.ndarray:
    """Enlarges, bends and rotates one 8x8 digit.

    Returns:
        Ink coverage (h, w) float32 in [0, 1], cut tightly: every border row and column has ink.
        Neither side exceeds ``limit`` - 4 pixels.
    """
    level = float(rng.uniform(0.4, 0.54))  # lower gives bolder strokes and fills the loops
    rows = np.flatnonzero((pixels > level).any(axis=1))
    scale = height / (rows[-1] - rows[0] + 1)
    stretch = rng.uniform(0.85, 1.2)
    angle, shear = np.deg2rad(rng.uniform(-18, 18)), rng.uniform(-0.2, 0.2)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = linear @ np.array([[stretch, shear], [0.0, 1.0]])
    # 16 source pixels a side leave room for the ink's fringe
    padded = np.pad(pixels, 4)
    reach = np.abs(linear) @ np.array([8.0, 8.0])
    scale = min(scale, (limit - 6) / (1.25 * reach.max()))
    linear *= scale
    side = int(np.ceil(2 * reach.max() * scale)) + 4
    shift = np.array([side / 2, side / 2]) - linear @ np.array([7.5, 7.5])
    warp = np.concatenate([linear, shift[:, None]], axis=1)
    smooth = cv2.warpAffine(padded, warp, (side, side), flags=cv2.INTER_CUBIC)
    wobble = 0.06 * _noise_field(rng, side, 5)
    alpha = np.clip((smooth + wobble * (smooth > 0.1) - level) * scale / 1.5 + 0.5, 0, 1)
    alpha[alpha < 0.3] = 0  # so that the box ends where ink is seen
    return _keep_tight(alpha.astype(np.float32), limit - 4)


def _keep_tight(alpha: np.ndarray, limit: int) -> np.ndarray:
    """Cuts a coverage map to its ink; one that is larger than ``limit`` is cut down to it."""
    rows = np.flatnonzero(alpha.any(axis=1))
    cols = np.flatnonzero(alpha.any(axis=0))
    if not len(rows):
        return np.ones((1, 1), np.float32)
    cut = alpha[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    if max(cut.shape) > limit:
        return _keep_tight(cut[:limit, :limit], limit)
    return np.ascontiguousarray(cut)


def _find_room(
    rng: np.random.Generator,
    shape: tuple[int, int],
    size: int,
    taken: list[tuple[int, int, int, int]],
) -> tuple[int, int] | None:
    """Returns the (x, y) of a spot that covers no other box by much, None if none was found."""
    height, width = shape
    for _ in range(_PLACING_TRIES):
        x = int(rng.integers(1, size - width))
        y = int(rng.integers(1, size - height))
        if all(_covered((x, y, width, height), box) <= _MAX_COVERED for box in taken):
            return x, y
    return None


def _covered(one: tuple[int, int, int, int], two: tuple[int, int, int, int]) -> float:
    """The two boxes' intersection as a part of the smaller one."""
    width = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    height = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    return max(width, 0) * max(height, 0) / min(one[2] * one[3], two[2] * two[3])


def _blend(
    rng: np.random.Generator,
    canvas: np.ndarray,
    alpha: np.ndarray,
    spot: tuple[int, int],
    contrast: tuple[float, float] = (60.0, 150.0),
) -> None:
    """Puts ink on the canvas in place, darker or lighter than what it lies on."""
    x, y = spot
    size = canvas.shape[0]
    top, left = max(0, -y), max(0, -x)
    alpha = alpha[top : size - y, left : size - x]
    if not alpha.size:
        return
    region = canvas[max(0, y) : y + top + alpha.shape[0], max(0, x) : x + left + alpha.shape[1]]
    ground = float((region.mean(axis=(0, 1)) * _LUMA).sum())
    step = rng.uniform(*contrast)
    sign = rng.choice([-1, 1])
    if not 0 <= ground + sign * step <= 255:
        sign = -sign
    ink = np.clip(ground + sign * step + _chroma(rng, 24), 0, 255)
    region += alpha[..., None] * (ink.astype(np.float32) - region)


# ------------------------------------------------------------------------------------ distractors


def _draw_distractors(
    rng: np.random.Generator, canvas: np.ndarray, glyphs: _Glyphs, params: dict
) -> None:
    """Puts marks that are no digits on the canvas in place."""
    clutter = params['clutter']
    marks = (
        (_stroke, 1.6),
        (_blob, 1.2),
        (_letter, 1.2),
        (_fragment, 1.2),
    )
    for mark, mean in marks:
        for _ in range(int(rng.poisson(mean * clutter))):
            alpha = mark(rng, glyphs, params)
            room = canvas.shape[0] - np.array(alpha.shape[::-1]) // 2
            x, y = (int(v) for v in rng.integers(-np.array(alpha.shape[::-1]) // 2, room))
            _blend(rng, canvas, alpha, (x, y), contrast=(35.0, 130.0))


def _stroke(rng: np.random.Generator, glyphs: _Glyphs, params: dict) -> np.ndarray:
    """A long thin bent line."""
    size = params['image_size']
    points = np.cumsum(rng.normal(0, 0.16 * size, (4, 2)), axis=0)
    t = np.linspace(0, 1, 24)[:, None]
    curve = sum(  # a cubic Bezier curve
        c * t**k * (1 - t) ** (3 - k) * p
        for k, (c, p) in enumerate(zip((1, 3, 3, 1), points, strict=True))
    )
    curve -= curve.min(axis=0) - 4
    width, height = (int(v) + 8 for v in curve.max(axis=0))
    mask = np.zeros((height, width), np.uint8)
    thickness = int(rng.integers(1, 4))
    cv2.polylines(mask, [curve.astype(np.int32)], False, 255, thickness, cv2.LINE_AA)
    return _keep_tight(mask.astype(np.float32) / 255, size)


def _blob(rng: np.random.Generator, glyphs: _Glyphs, params: dict) -> np.ndarray:
    """A filled irregular spot, sharp or soft."""
    side = int(rng.uniform(0.04, 0.2) * params['image_size']) + 6
    ys, xs = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    shape = 0.75 - np.hypot(xs, ys * rng.uniform(1, 2)) + 0.35 * _noise_field(rng, side, 3)
    alpha = np.clip(shape * side / rng.choice([1.5, 6.0]), 0, 1)
    return _keep_tight(alpha.astype(np.float32), params['image_size'])


def _letter(rng: np.random.Generator, glyphs: _Glyphs, params: dict) -> np.ndarray:
    """A letter or a sign, as bold as a digit."""
    height = _height(rng, params) * 0.85
    side = int(2.2 * height) + 8
    mask = np.zeros((side, side), np.uint8)
    text = _LETTERS[int(rng.integers(len(_LETTERS)))]
    font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
    thickness = max(1, round(height * rng.uniform(0.08, 0.17)))
    origin = (int(0.55 * side - height / 2), int(side / 2 + height / 2))
    cv2.putText(mask, text, origin, font, height / 22.0, 255, thickness, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(-25, 25)), 1.0)
    mask = cv2.GaussianBlur(cv2.warpAffine(mask, turn, (side, side)), (0, 0), 0.8)
    return _keep_tight(mask.astype(np.float32) / 255, params['image_size'])


def _fragment(rng: np.random.Generator, glyphs: _Glyphs, params: dict) -> np.ndarray:
    """The smaller part of a digit: what is left behind a straight cut."""
    pool = np.flatnonzero(np.isin(glyphs.labels, _FRAGMENT_CLASSES))
    pixels = glyphs.pixels[pool[int(rng.integers(len(pool)))]]
    alpha = _digit_ink(rng, pixels, _height(rng, params), params['image_size'])
    ys, xs = np.mgrid[0 : alpha.shape[0], 0 : alpha.shape[1]]
    angle = rng.uniform(0, 2 * np.pi)
    along = xs * np.cos(angle) + ys * np.sin(angle)
    inked = along[alpha > 0]
    alpha[along > np.quantile(inked, rng.uniform(0.18, 0.33))] = 0
    return _keep_tight(alpha, params['image_size'])
