"""From an image to what a file takes, and boxes back: resize, letterbox, order, normalisation."""

from dataclasses import dataclass

import numpy as np

from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.metadata import Input
from mmdet_lcp_runtime.needs import found


@dataclass(frozen=True)
class Placement:
    """Where an image lies in the input of a file.

    Attributes:
        height: of the image, in pixels.
        width: of the image, in pixels.
        scale: (x, y): pixels of the input for one of the image.
        offset: (x, y) of its upper left corner, in pixels of the input.
    """

    height: int
    width: int
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[int, int] = (0, 0)

    def back(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (..., 4) in pixels of the input become boxes in pixels of the image, inside it."""
        scale = np.asarray(self.scale * 2, np.float32)
        offset = np.asarray(self.offset * 2, np.float32)
        limit = np.asarray([self.width, self.height] * 2, np.float32)
        return np.clip((boxes - offset) / scale, 0, limit)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, as OpenCV's ``INTER_LINEAR``; by OpenCV where it is installed.

    Args:
        image: (H, W, C), uint8.
        height: in pixels.
        width: in pixels.

    Returns:
        (height, width, C), uint8.
    """
    if image.shape[:2] == (height, width):
        return image
    cv2 = found('cv2')
    if cv2:
        made = cv2.resize(np.ascontiguousarray(image), (width, height))
        return made if made.ndim == 3 else made[..., None]
    rows, above, down = _neighbours(image.shape[0], height)
    columns, left, right = _neighbours(image.shape[1], width)
    wide = image.astype(np.float32)
    wide = wide[:, left] * (1 - columns)[:, None] + wide[:, right] * columns[:, None]
    wide = wide[above] * (1 - rows)[:, None, None] + wide[down] * rows[:, None, None]
    return np.clip(np.rint(wide), 0, 255).astype(np.uint8)


def _neighbours(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each new pixel: the weight of its second neighbour, and the numbers of both."""
    place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    first = np.floor(place).astype(int)
    second = np.minimum(first + 1, old - 1)
    return (place - first).astype(np.float32), first, second


def prepare(image: np.ndarray, wanted: Input) -> tuple[np.ndarray, Placement]:
    """Make the input of a file.

    Args:
        image: (H, W, C), uint8, blue-green-red.
        wanted: what the file takes.

    Returns:
        One image, (H, W, C) or (C, H, W), without a batch axis, and where it lies in it.

    Raises:
        DetectionError: it has another size and the file does not say how to resize.
    """
    height, width = image.shape[:2]
    placement = Placement(height, width)
    if wanted.resize == 'none':
        for name, size, own in (
            ('high', wanted.height, height),
            ('wide', wanted.width, width),
        ):
            if size is not None and size != own:
                raise DetectionError(
                    f'the image is {own} pixels {name}, the detector takes {size} and its file '
                    'does not say how to resize: give it images of that size'
                )
    elif wanted.resize == 'stretch':
        scale = (wanted.width / width, wanted.height / height)
        placement = Placement(height, width, scale)
        image = resize(image, wanted.height, wanted.width)
    else:
        ratio = min(wanted.height / height, wanted.width / width)
        new = [max(1, int(side * ratio + 0.5)) for side in (height, width)]
        free = (wanted.height - new[0], wanted.width - new[1])
        top, left = (gap // 2 if wanted.pad == 'center' else 0 for gap in free)
        placement = Placement(height, width, (new[1] / width, new[0] / height), (left, top))
        canvas = np.empty((wanted.height, wanted.width, wanted.channels), np.uint8)
        canvas[:] = wanted.pad_value
        canvas[top : top + new[0], left : left + new[1]] = resize(image, *new)
        image = canvas
    if wanted.color in ('rgb', 'rgba'):
        image = image[..., [2, 1, 0, *range(3, wanted.channels)]]
    if wanted.dtype == 'float32':
        image = image.astype(np.float32)
        if not wanted.normalised_in_graph:
            image = (image - np.float32(wanted.mean)) / np.float32(wanted.std)
    return image.transpose(2, 0, 1) if wanted.layout == 'NCHW' else image, placement
