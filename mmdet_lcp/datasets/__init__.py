"""Data: the built-in digits, and a guard against boxes without area."""

from mmdet_lcp.datasets.degenerate_boxes import (
    DropDegenerateBoxesHook,
    drop_degenerate_boxes,
    require_images,
)
from mmdet_lcp.datasets.digits import DigitsDataset, generate_digits

__all__ = [
    'DigitsDataset',
    'DropDegenerateBoxesHook',
    'drop_degenerate_boxes',
    'generate_digits',
    'require_images',
]
