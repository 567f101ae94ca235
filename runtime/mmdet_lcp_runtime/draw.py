"""Pictures of detections: boxes by NumPy, names by OpenCV or Pillow, where installed."""

import colorsys

import numpy as np

from mmdet_lcp_runtime.detections import Detections
from mmdet_lcp_runtime.needs import found


def colour(label: int) -> tuple[int, int, int]:
    """Of a class, blue-green-red; neighbours differ much."""
    red, green, blue = colorsys.hsv_to_rgb(label * 0.618034 % 1, 0.85, 0.95)
    return round(255 * blue), round(255 * green), round(255 * red)


def draw(image: np.ndarray, detections: Detections, score: float = 0.3) -> np.ndarray:
    """A copy of an image with boxes, names and scores on it.

    Args:
        image: (H, W, C), uint8, blue-green-red; of other than three channels the picture is gray,
            or without alpha.
        detections: of it.
        score: lower ones are left out.

    Returns:
        (H, W, 3), uint8, blue-green-red.
    """
    picture = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, 2)
    picture = np.array(picture, order='C')
    shown = detections.above(score)
    height, width = picture.shape[:2]
    line = max(1, round(min(height, width) / 300))
    for number in reversed(range(len(shown))):  # the best on top
        own = colour(int(shown.labels[number]))
        if shown.masks is not None:
            mask = shown.masks[number]
            picture[mask] = (0.5 * picture[mask] + 0.5 * np.array(own)).astype(np.uint8)
        _frame(picture, shown.boxes[number], own, line)
        text = f'{shown.names[number]} {shown.scores[number]:.2f}'
        picture = _write(picture, text, shown.boxes[number], own)
    return picture


def _frame(picture: np.ndarray, box: np.ndarray, own: tuple[int, int, int], line: int) -> None:
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = np.rint(box).astype(int)
    x1, x2 = np.clip((x1, x2 - 1), 0, width - 1)
    y1, y2 = np.clip((y1, y2 - 1), 0, height - 1)
    inside = np.zeros((height, width), bool)
    inside[y1 : y2 + 1, x1 : x2 + 1] = True
    inside[y1 + line : y2 + 1 - line, x1 + line : x2 + 1 - line] = False
    picture[inside] = own


def _write(
    picture: np.ndarray, text: str, box: np.ndarray, own: tuple[int, int, int]
) -> np.ndarray:
    """Put a text above the upper left corner of a box, or below its upper side."""
    x, y = max(0, round(float(box[0]))), round(float(box[1]))
    size = max(10, min(picture.shape[:2]) // 40)
    y = y - size - 2 if y > size + 2 else max(0, y) + 2
    library = found('cv2', 'PIL')
    if library is None:
        return picture
    if library.__name__ == 'cv2':
        font, scale = library.FONT_HERSHEY_SIMPLEX, size / 30  # capitals of 22 pixels at 1
        (wide, _), _ = library.getTextSize(text, font, scale, 1)
        library.rectangle(picture, (x, y), (x + wide, y + size), own, -1)
        library.putText(
            picture, text, (x, y + size - 2), font, scale, (255, 255, 255), 1, library.LINE_AA
        )
        return picture
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.fromarray(picture[..., ::-1])
    pen = ImageDraw.Draw(canvas)
    try:
        font = ImageFont.load_default(size)
    except TypeError:  # older than Pillow 10.1: one size only
        font = ImageFont.load_default()
    pen.rectangle(pen.textbbox((x, y), text, font), fill=own[::-1])
    pen.text((x, y), text, fill=(255, 255, 255), font=font)
    return np.ascontiguousarray(np.asarray(canvas)[..., ::-1])
