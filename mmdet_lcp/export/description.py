"""What a file says of itself: as JSON in it or beside it, and as a page for people."""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mmdet_lcp.export.geometry import Geometry
from mmdet_lcp.export.thresholds import Thresholds
from mmdet_lcp.version import __version__

KEY = 'mmdet_lcp'
FORMAT = 1
PACKAGES = ('mmdet', 'mmcv', 'torch', 'onnx')


def describe(
    form: str,
    detector: Any,
    geometry: Geometry,
    channels: int,
    pixels: bool,
    batch: int | None,
    outputs: list[str],
    classes: list[str],
    limits: Thresholds | None,
    plan: Any,
    opset: int,
    more: dict[str, Any],
) -> dict[str, Any]:
    """The object that is written, see `docs/export.md` for its keys.

    Args:
        form: 'end-to-end', 'decoded' or 'raw'.
        detector: the detector.
        geometry: of the input.
        channels: of the input.
        pixels: whether it takes uint8 images as they are read.
        batch: how many images at once; None: any number.
        outputs: their names.
        classes: names.
        limits: thresholds, None where none are known.
        plan: that the detector was pruned by, or None.
        opset: of the file.
        more: further keys.
    """
    preprocessor = detector.data_preprocessor
    reversed_ = bool(getattr(preprocessor, '_channel_conversion', False))
    stored = {1: 'gray', 4: 'bgra'}.get(channels, 'bgr')
    color = stored if pixels or channels != 3 else ('rgb' if reversed_ else 'bgr')
    normalises = bool(getattr(preprocessor, '_enable_normalize', False))
    listed = {
        key: [float(each) for each in getattr(preprocessor, key).flatten()] if normalises else []
        for key in ('mean', 'std')
    }
    return {
        'format': FORMAT,
        'form': form,
        'input': {
            'name': 'images',
            'layout': 'NHWC' if pixels else 'NCHW',
            'dtype': 'uint8' if pixels else 'float32',
            'height': geometry.height,
            'width': geometry.width,
            'channels': channels,
            'batch': batch,
            'color': color,
            'resize': {
                'mode': geometry.mode,
                'pad_value': geometry.pad_value,
                'pad': 'bottom_right',
            },
            **listed,
            'normalised_in_graph': pixels,
        },
        'outputs': outputs,
        'classes': classes,
        'thresholds': None if limits is None else limits.as_dict(),
        'detector': {'type': type(detector).__name__, 'plan': digest(plan)},
        'versions': {
            'mmdet_lcp': __version__,
            **{name: _version(name) for name in PACKAGES},
            'opset': opset,
        },
        **more,
    }


def digest(plan: Any) -> str | None:
    """SHA-256 of a plan, in hex; None without one."""
    if plan is None:
        return None
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def card(name: str, description: dict[str, Any], checked: str) -> str:
    """A page in Markdown about a file.

    Args:
        name: the file's.
        description: by `describe`.
        checked: a sentence about the comparison with mmdet.
    """
    given, limits = description['input'], description['thresholds'] or {}
    shape = [given['batch'] or 'N', given['height'], given['width']]
    shape.insert(3 if given['layout'] == 'NHWC' else 1, given['channels'])
    rows = [
        ('detector', description['detector']['type']),
        ('form', description['form']),
        ('input', f'`images`, {given["layout"]} {shape}, {given["dtype"]}, {given["color"]}'),
        ('images get that size by', f'{given["resize"]["mode"]}'),
        ('outputs', ', '.join(f'`{each}`' for each in description['outputs'])),
        *((key, value) for key, value in limits.items()),
        *((f'proposals: {key}', value) for key, value in description.get('proposals', {}).items()),
        *(('left out', f'`{each}`') for each in description.get('left_out', ())),
        ('pruned by plan', description['detector']['plan'] or 'not pruned'),
        *((key, value) for key, value in description['versions'].items()),
    ]
    table = '\n'.join(f'| {key} | {value} |' for key, value in rows)
    classes = ', '.join(description['classes'])
    return f'# {name}\n\n| | |\n|:--|:--|\n{table}\n\n{checked}\n\nClasses, from 0: {classes}.\n'


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
