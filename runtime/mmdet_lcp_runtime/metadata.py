"""What an exported file says of itself: one JSON object, checked before anything is run.

An ONNX file carries it in its metadata, under `KEY`; files of other formats have it beside them,
``detector.xml`` as ``detector.json``. That of ``detector.rknn``, which is another than that of the
ONNX file it was made of, is ``detector.rknn.json``.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.version import FORMAT

MASK_THRESHOLD = 0.5  # of files that name none

KEY = 'mmdet_lcp'
FORMS = ('end-to-end', 'decoded')
CHANNELS = {'bgr': 3, 'rgb': 3, 'gray': 1, 'bgra': 4, 'rgba': 4}  # by order of colours


@dataclass(frozen=True)
class Input:
    """The image that a file takes.

    Attributes:
        name: of the tensor.
        layout: ``'NHWC'`` or ``'NCHW'``.
        dtype: ``'uint8'`` or ``'float32'``.
        height: in pixels; None is any.
        width: in pixels; None is any.
        channels: 1, 3 or 4.
        batch: images at once; None is any number.
        color: order of the channels, one of `CHANNELS`.
        resize: ``'stretch'``, ``'letterbox'`` or ``'none'``: how an image gets that size.
        pad_value: of letterboxing, one number a channel, 0 to 255; blue, green, red.
        pad: where the image lies in the letterbox: ``'bottom_right'`` is padded there,
            ``'center'`` on both sides.
        mean: subtracted, a number a channel, in the order of `color`.
        std: divided by, likewise.
        normalised_in_graph: the file does that itself.
    """

    name: str
    layout: str
    dtype: str
    height: int | None
    width: int | None
    channels: int
    batch: int | None
    color: str
    resize: str
    pad_value: tuple[float, ...]
    pad: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    normalised_in_graph: bool


@dataclass(frozen=True)
class Thresholds:
    """Which candidates become detections, see mmdet's ``test_cfg``.

    Attributes:
        score: the least score.
        iou: of two boxes of a class whose overlap is larger, the lower goes.
        nms_pre: so many candidates are looked at, of each of the file's levels; <= 0 is all.
        max_per_img: so many detections of an image; <= 0 is all.
        class_agnostic: boxes of different classes suppress each other.
        nms: ``'nms'``, ``'soft_nms'`` or ``'none'``.
    """

    score: float
    iou: float
    nms_pre: int
    max_per_img: int
    class_agnostic: bool
    nms: str


@dataclass(frozen=True)
class Metadata:
    """A file's description.

    Attributes:
        form: ``'end-to-end'`` or ``'decoded'``.
        input: the image that it takes.
        outputs: names of the tensors that it gives.
        classes: name of each label.
        thresholds: what is applied; by the file itself where it is end-to-end.
        levels: number of candidates of each level, where the file says it, else empty.
        mask_threshold: from which probability on a pixel belongs to a mask.
        facts: all of it, as written.
    """

    form: str
    input: Input
    outputs: tuple[str, ...]
    classes: tuple[str, ...]
    thresholds: Thresholds
    levels: tuple[int, ...] = ()
    mask_threshold: float = MASK_THRESHOLD
    facts: dict[str, Any] = field(default_factory=dict, repr=False)


def beside(path: str | os.PathLike) -> Path:
    """Where the description of a file lies that cannot carry it."""
    path = Path(path)
    if path.suffix == '.rknn':
        return path.with_name(f'{path.name}.json')
    name = path.name.removesuffix('.param').removesuffix('.ncnn')
    return path.with_name(f'{name}.json' if name != path.name else f'{path.stem}.json')


def read(path: str | os.PathLike, text: str | None) -> Metadata:
    """Read and check a description.

    Args:
        path: the detector's file.
        text: what it carries; None: read the file beside it.

    Raises:
        DetectionError: there is none, it cannot be understood, or the file is raw.
    """
    if text is None:
        file = beside(path)
        try:
            text = file.read_text(encoding='utf-8')
        except OSError as error:
            raise DetectionError(
                f'{path}: the file says nothing of its classes and input, and there is no '
                f'{file.name} beside it. Take a file that `mmdet-lcp export` wrote, and copy both'
            ) from error
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise DetectionError(f'{path}: its description is no JSON ({error})') from error
    if not isinstance(facts, dict):
        raise DetectionError(f'{path}: its description is no JSON object')
    version = facts.get('format')
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DetectionError(f'{path}: its description has no `format`: not by `mmdet-lcp export`')
    if version > FORMAT:
        raise DetectionError(
            f'{path}: its description has format {version}, this version reads up to {FORMAT}: '
            'install a newer mmdet-lcp-runtime, or export the detector again'
        )
    try:
        return _metadata(facts)
    except DetectionError as error:
        raise DetectionError(f'{path}: {error}') from None
    except (KeyError, TypeError, ValueError) as error:
        what = f'lacks the key {error}' if isinstance(error, KeyError) else f'is wrong: {error}'
        raise DetectionError(
            f'{path}: its description {what}; export the detector again'
        ) from error


def _one_of(name: str, value: Any, known: tuple) -> Any:
    if value not in known:
        raise ValueError(f'{name}={value!r} is none of {", ".join(map(repr, known))}')
    return value


def _size(name: str, value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ValueError(f'{name}={value!r} is no whole number from 1')
    return value


def _metadata(facts: dict[str, Any]) -> Metadata:
    if facts['form'] == 'raw':
        raise DetectionError(
            "holds the head's raw outputs, which only its detector can decode: export it without "
            '--raw'
        )
    return Metadata(
        form=_one_of('form', facts['form'], FORMS),
        input=image_input(facts),
        outputs=tuple(facts['outputs']),
        classes=tuple(str(name) for name in facts['classes']),
        thresholds=thresholds(facts),
        levels=tuple(int(size) for size in facts.get('levels', ())),
        mask_threshold=float(facts.get('mask_threshold', MASK_THRESHOLD)),
        facts=facts,
    )


def image_input(facts: dict[str, Any]) -> Input:
    """The image that a file takes, of a description.

    Raises:
        KeyError, TypeError, ValueError: it is wrong.
    """
    given = facts['input']
    resize = given['resize']
    channels = _one_of('channels', given['channels'], (1, 3, 4))
    per_channel = {}
    for name, values, default in (
        ('mean', given['mean'], 0),
        ('std', given['std'], 1),
        ('pad_value', resize.get('pad_value'), 0),
    ):
        values = values if isinstance(values, list) else [values]
        values = values if values not in ([], [None]) else [default]
        values = values * channels if len(values) == 1 else values
        if len(values) != channels:
            raise ValueError(f'{name} has {len(values)} values for {channels} channels')
        per_channel[name] = tuple(float(value) for value in values)
    if CHANNELS.get(given['color'], channels) != channels:
        raise ValueError(f'color {given["color"]!r} with {channels} channels')
    image = Input(
        name=given['name'],
        layout=_one_of('layout', given['layout'], ('NHWC', 'NCHW')),
        dtype=_one_of('dtype', given['dtype'], ('uint8', 'float32')),
        height=_size('height', given['height']),
        width=_size('width', given['width']),
        channels=channels,
        batch=_size('batch', given['batch']),
        color=_one_of('color', given['color'], tuple(CHANNELS)),
        resize=_one_of('resize', resize['mode'], ('stretch', 'letterbox', 'none')),
        pad=_one_of('pad', resize.get('pad', 'bottom_right'), ('bottom_right', 'center')),
        normalised_in_graph=bool(given['normalised_in_graph']),
        **per_channel,
    )
    if image.resize != 'none' and None in (image.height, image.width):
        raise ValueError(f'resize {image.resize!r} needs height and width')
    return image


def thresholds(facts: dict[str, Any]) -> Thresholds:
    """Those of a description that is known to be right."""
    limits = facts['thresholds']
    return Thresholds(
        score=float(limits['score']),
        iou=float(limits['iou']),
        nms_pre=int(limits['nms_pre']),
        max_per_img=int(limits['max_per_img']),
        class_agnostic=bool(limits['class_agnostic']),
        nms=_one_of('nms', limits['nms'], ('nms', 'soft_nms', 'none')),
    )
