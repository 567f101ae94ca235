"""One scene of the built-in data: digits drawn among clutter on a textured background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_PLACING_TRIES = 40
_MAX_COVERED = 0.12  # a new digit's box covers at most this part of the smaller of two boxes
_LETTERS = 'AEFHKMNRTVWXY&#?'  # none that reads as a digit
_FRAGMENT_CLASSES = (0, 2, 3, 5, 6, 8, 9)  # pieces of 1, 4 and 7 would read as a 1
_LUMA = np.array([0.114, 0.587, 0.299])  # of blue, green, red


@dataclass(frozen=True)
class Glyphs:
    """Source digits: ``pixels`` (N, 8, 8) float32 in [0, 1], ``labels`` (N,), ``index`` (N,)."""

    pixels: np.ndarray
    labels: np.ndarray
    index: np.ndarray


@dataclass(frozen=True)
class Instance:
    """One digit in a scene: its tight box (x, y, w, h) in whole pixels and where it is from."""

    box: tuple[int, int, int, int]
    label: int
    source: int


def render_scene(
    rng: np.random.Generator, glyphs: Glyphs, params: dict, with_digits: bool = True
) -> tuple[np.ndarray, list[Instance]]:
    """Renders one image.

    Returns:
        The image (size, size, 3) uint8 BGR, and the digits on it. Without digits it is the same
        image before any was put on it: the two differ nowhere outside the digits' boxes.
    """
    size = params['image_size']
    canvas = _background(rng, size)
    _draw_distractors(rng, canvas, glyphs, params)
    noise = rng.standard_normal(canvas.shape, np.float32) * np.float32(rng.uniform(0, 5))
    instances: list[Instance] = []
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
            instances.append(Instance(box, int(glyphs.labels[pick]), int(glyphs.index[pick])))
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
    rng: np.random.Generator, canvas: np.ndarray, glyphs: Glyphs, params: dict
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


def _stroke(rng: np.random.Generator, glyphs: Glyphs, params: dict) -> np.ndarray:
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


def _blob(rng: np.random.Generator, glyphs: Glyphs, params: dict) -> np.ndarray:
    """A filled irregular spot, sharp or soft."""
    side = int(rng.uniform(0.04, 0.2) * params['image_size']) + 6
    ys, xs = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    shape = 0.75 - np.hypot(xs, ys * rng.uniform(1, 2)) + 0.35 * _noise_field(rng, side, 3)
    alpha = np.clip(shape * side / rng.choice([1.5, 6.0]), 0, 1)
    return _keep_tight(alpha.astype(np.float32), params['image_size'])


def _letter(rng: np.random.Generator, glyphs: Glyphs, params: dict) -> np.ndarray:
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


def _fragment(rng: np.random.Generator, glyphs: Glyphs, params: dict) -> np.ndarray:
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
