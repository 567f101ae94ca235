"""Images from files, through OpenCV or Pillow, whichever is installed; as NumPy arrays.

A photo that a camera turned (EXIF) is turned upright, by both, as mmdet does.
"""

import os
from pathlib import Path

import numpy as np

from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.needs import found, needed

Image = str | os.PathLike | np.ndarray


def read_image(path: str | os.PathLike, channels: int = 3) -> np.ndarray:
    """Read an image file.

    Args:
        path: JPEG, PNG, or what else the library reads.
        channels: 1 is gray, 3 colours, 4 colours and alpha.

    Returns:
        (H, W, C), uint8; colours in the order blue, green, red.

    Raises:
        DetectionError: the file is missing or no image, or it has no fourth channel; neither
            OpenCV nor Pillow is installed.
    """
    if Path(path).is_dir():
        raise DetectionError(f'{path}: is a folder; name the photos in it')
    if not Path(path).is_file():
        raise DetectionError(f'{path}: there is no such file')
    cv2 = found('cv2')
    image = _by_opencv(cv2, path, channels) if cv2 else _by_pillow(path, channels)
    if image is None:
        raise DetectionError(f'{path}: cannot be read as an image; is it cut short?')
    image = image if image.ndim == 3 else image[..., None]
    if image.shape[2] != channels:
        raise DetectionError(
            f'{path}: has {image.shape[2]} channels, the detector takes {channels}'
        )
    return image


def _by_opencv(cv2, path: str | os.PathLike, channels: int) -> np.ndarray | None:
    flag = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR, 4: cv2.IMREAD_UNCHANGED}[channels]
    return cv2.imdecode(np.fromfile(path, np.uint8), flag) if os.path.getsize(path) else None


def _by_pillow(path: str | os.PathLike, channels: int) -> np.ndarray | None:
    needed('PIL')
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if channels == 4:  # a picture without alpha keeps its three channels: told above
                image = image if image.mode in ('RGBA', 'RGB') else image.convert('RGBA')
            else:
                image = image.convert('L' if channels == 1 else 'RGB')
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError):  # Pillow's for damaged files
        return None
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]
    return np.ascontiguousarray(pixels)


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write (H, W, 3), uint8, blue-green-red; the suffix says which format.

    Raises:
        DetectionError: it cannot be written.
    """
    cv2 = found('cv2')
    try:
        if cv2:
            coded, data = cv2.imencode(Path(path).suffix or '.', image)
            if not coded:
                raise ValueError('unknown format')
            Path(path).write_bytes(data.tobytes())
        else:
            needed('PIL')
            from PIL import Image

            Image.fromarray(image[..., ::-1]).save(path)
    except DetectionError:
        raise
    except Exception as error:  # cv2.error is a class of its own
        reason = ' '.join(str(error).split())
        raise DetectionError(f'{path}: cannot be written as an image ({reason})') from error


def as_pixels(image: Image, channels: int, order: str = 'bgr') -> np.ndarray:
    """A file or an array as (H, W, C), uint8, blue-green-red.

    Args:
        image: a path, or an array (H, W), (H, W, 1) or (H, W, C) of uint8.
        channels: that the detector takes.
        order: of an array's colours: ``'bgr'``, as OpenCV and mmdet have them, or ``'rgb'``.

    Raises:
        DetectionError: the array has another shape, type or number of channels.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image, channels)
    if not isinstance(image, np.ndarray):
        raise DetectionError(
            f'an image is a path or a NumPy array (H, W, C) of uint8, not {type(image).__name__}'
        )
    shape, image = image.shape, image if image.ndim == 3 else image[..., None]
    if image.ndim != 3 or 0 in image.shape:
        raise DetectionError(
            f'an image has shape (H, W, C) or (H, W), not {shape}; of several give a list'
        )
    if image.dtype != np.uint8:
        raise DetectionError(
            f'an image has the type uint8, 0 to 255, not {image.dtype}: it is normalised here'
        )
    if image.shape[2] != channels:
        raise DetectionError(
            f'the image has {image.shape[2]} channels, the detector takes {channels}'
        )
    if order == 'rgb' and channels >= 3:
        image = image[..., [2, 1, 0, *range(3, channels)]]
    return image
