"""What a file's input looks like: its size, and how an image gets it; from the test pipeline.

No image is read for that. mmdet resizes each image to a size of its own where it keeps the ratio;
a file has one size, so images are put into it at the top left and the rest is padded.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config
from torch import nn

from mmdet_lcp.errors import CompressionError

RESIZES = ('Resize', 'FixScaleResize', 'FixShapeResize', 'LetterResize')


@dataclass(frozen=True)
class Geometry:
    """Attributes.

    Attributes:
        height: of the input, in pixels.
        width: of the input, in pixels.
        mode: how an image gets that size: 'stretch', or 'letterbox', which keeps the ratio.
        pad_value: one a channel, in [0, 255], of what a letterbox fills.
    """

    height: int
    width: int
    mode: str = 'stretch'
    pad_value: list[float] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width


def evaluation_datasets(cfg: Config) -> Iterator[dict]:
    """The data sets of the test loader, else of the validation loader; those inside of others."""
    for key in ('test_dataloader', 'val_dataloader'):
        loaders = cfg.get(key)
        for loader in loaders if isinstance(loaders, (list, tuple)) else [loaders]:
            if loader and loader.get('dataset'):
                yield from _leaves(loader['dataset'])


def evaluation_pipeline(cfg: Config) -> list[dict]:
    """How images of the test set are prepared, else those of the validation set; may be empty."""
    for dataset in evaluation_datasets(cfg):
        if dataset.get('pipeline'):
            return list(dataset['pipeline'])
    return list(cfg.get('test_pipeline') or ())


def _leaves(dataset: dict) -> Iterator[dict]:
    if dataset.get('datasets'):
        for each in dataset['datasets']:
            yield from _leaves(each)
    elif dataset.get('dataset'):
        yield from _leaves(dataset['dataset'])
    else:
        yield dataset


def geometry_of(
    cfg: Config, preprocessor: nn.Module, size: tuple[int, int] | None = None
) -> Geometry:
    """The input's size and how images get it.

    Args:
        cfg: a detector's whole config.
        preprocessor: the detector's; it says to multiples of what images are padded.
        size: (height, width) to take in place of the config's.

    Raises:
        CompressionError: the config does not say, or `size` is no multiple.
    """
    steps = evaluation_pipeline(cfg)
    resize = next((step for step in steps if _name(step) in RESIZES), None)
    pad = next((step for step in steps if _name(step) == 'Pad'), None)
    keeps = resize is not None and bool(
        resize.get('keep_ratio', False) or _name(resize) in ('LetterResize',)
    )
    divisor = int(getattr(preprocessor, 'pad_size_divisor', 1) or 1)
    if size is None:
        size = _size(resize, pad)
        if size is None:
            raise CompressionError(
                'the config does not say how large images are: neither test_dataloader nor '
                'val_dataloader has a pipeline with a Resize that has one scale. Say it: '
                '--size HEIGHT WIDTH'
            )
        size = tuple(math.ceil(side / divisor) * divisor for side in size)
    if min(size) < 1:
        raise CompressionError(f'size {size[0]} x {size[1]}: take pixels, from 1')
    if any(side % divisor for side in size):
        raise CompressionError(
            f'size {size[0]} x {size[1]}: this detector takes multiples of {divisor} '
            '(data_preprocessor.pad_size_divisor)'
        )
    mode = 'letterbox' if keeps or (pad is not None and resize is None) else 'stretch'
    values = _pad_value(pad, preprocessor) if mode == 'letterbox' else []
    return Geometry(int(size[0]), int(size[1]), mode, values)


def _name(step: dict) -> str:
    kind = step['type']
    return (kind if isinstance(kind, str) else kind.__name__).split('.')[-1]


def _size(resize: dict | None, pad: dict | None) -> tuple[int, int] | None:
    """(height, width)."""
    if pad is not None and pad.get('size'):
        width, height = pad['size']
        return height, width
    if resize is None:
        return None
    if resize.get('width') and resize.get('height'):
        return resize['height'], resize['width']
    scale = resize.get('scale')
    if isinstance(scale, int):
        return scale, scale
    if not scale or not all(isinstance(side, int) for side in scale) or len(scale) != 2:
        return None
    width, height = scale
    if resize.get('keep_ratio'):  # the longer and the shorter side, in any order
        width, height = max(scale), min(scale)
    return height, width


def _pad_value(pad: dict | None, preprocessor: Any) -> list[float]:
    """What a pipeline pads with; else the mean, which is 0 once it is normalised."""
    if pad is not None:
        value = pad.get('pad_val', 0)
        value = value.get('img', 0) if isinstance(value, dict) else value
        return [float(each) for each in (value if isinstance(value, (list, tuple)) else [value])]
    mean = getattr(preprocessor, 'mean', None)
    if mean is None:
        return [float(getattr(preprocessor, 'pad_value', 0))]
    found = [float(each) for each in mean.flatten()]
    return found[::-1] if getattr(preprocessor, '_channel_conversion', False) else found
