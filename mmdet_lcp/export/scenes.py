"""Pictures to try a file on where there are no photos: shapes of many sizes on a shaded ground."""

import numpy as np


def scenes(count: int, height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Draw pictures.

    Args:
        count: of pictures.
        height: in pixels.
        width: in pixels.
        channels: of a picture.
        seed: of the drawing.

    Returns:
        (N, H, W, C), uint8.
    """
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    pictures = []
    for _ in range(count):
        slopes = generator.uniform(-0.5, 0.5, (2, channels))
        ground = generator.uniform(60, 190, channels)
        picture = ground + y[..., None] * slopes[0] + x[..., None] * slopes[1]
        for _ in range(12):
            cy, cx = generator.uniform(0, height), generator.uniform(0, width)
            ry = generator.uniform(0.03, 0.3) * height
            rx = generator.uniform(0.03, 0.3) * width
            away = ((y - cy) / ry) ** 2, ((x - cx) / rx) ** 2
            inside = sum(away) < 1 if generator.random() < 0.5 else np.maximum(*away) < 1
            picture = np.where(inside[..., None], generator.uniform(0, 255, channels), picture)
        pictures.append(picture + generator.normal(0, 6, picture.shape))
    return np.stack(pictures).clip(0, 255).astype(np.uint8)
