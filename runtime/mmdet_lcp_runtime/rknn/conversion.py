"""ONNX file in, ``*.rknn`` out, run in the toolkit's simulator beside the ONNX file."""

import contextlib
import copy
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mmdet_lcp_runtime import metadata
from mmdet_lcp_runtime.detector import Detector
from mmdet_lcp_runtime.engines.rknn import DECODE, Loaded
from mmdet_lcp_runtime.errors import DetectionError
from mmdet_lcp_runtime.needs import needed
from mmdet_lcp_runtime.preparing import prepare
from mmdet_lcp_runtime.rknn import toolkit_log
from mmdet_lcp_runtime.rknn.comparison import Agreement, compare
from mmdet_lcp_runtime.rknn.graph_split import split_graph

CHECKED = 8  # photos that both files run on, and that eight bits are not calibrated on


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        path: the file; beside it lie its decoding (.decode.onnx), its description (.rknn.json)
            and the toolkit's words (.rknn.log).
        calibrated: number of photos that eight bits were calibrated on; 0: float16.
        agreement: with the ONNX file, in the toolkit's simulator.
        cycles: of the NPU for an image, as the toolkit's compiler counts them; None: not told.
    """

    path: Path
    calibrated: int
    agreement: Agreement
    cycles: int | None


def convert(
    model: str | os.PathLike,
    out: str | os.PathLike,
    platform: str,
    photos: Sequence[str | os.PathLike],
    *,
    int8: bool = False,
    score: float = 0.3,
) -> Converted:
    """Write a detector for an NPU.

    Args:
        model: by ``mmdet-lcp export --decoded --preprocessed --batch 1``.
        out: ``*.rknn``.
        platform: the chip, as the toolkit calls it: ``'rk3588'``, ``'rk3566'``.
        photos: up to eight, at most half of them, are detected on with both files; `int8` is
            calibrated on the others.
        int8: weights and features of eight bits; else float16.
        score: detections with less are left out of the comparison.

    Raises:
        DetectionError: the file is of another form, photos are too few, the toolkit is not
            installed, refuses the file or lacks an operator. Nothing is written then but the
            toolkit's words.
    """
    if Path(model).suffix != '.onnx':
        raise DetectionError(f'{model}: give the *.onnx that `mmdet-lcp export` wrote')
    given, out = Detector(model), Path(out).resolve()
    _check(given, out)
    checked, others = _shared_out(photos, int8)
    toolkit = needed('rknn.api')
    out.parent.mkdir(parents=True, exist_ok=True)
    log = out.with_name(f'{out.name}.log')
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix='.rknn.') as folder:
        part, network = Path(folder, out.name), Path(folder, 'network.onnx')
        decode = part.with_suffix(DECODE)
        split_graph(model, network, decode)
        facts = _description(given.metadata.facts, platform, int8)
        metadata.beside(part).write_text(json.dumps(facts, indent=2), encoding='utf-8')
        expected = [given(photo).above(score) for photo in checked]
        images = _calibration(given, others, Path(folder)) if int8 else None
        try:
            with toolkit_log.kept_in(log), _inside(folder):
                net = _built(toolkit, network, given, platform, images, part, log)
                try:
                    made = Detector(part, engine=Loaded(net, decode))
                    agreement = compare(
                        (found, made(photo).above(score))
                        for found, photo in zip(expected, checked, strict=True)
                    )
                finally:
                    net.release()
        except DetectionError as error:
            _check_operators(model, platform, log)
            raise DetectionError(f'{error} ({log})') from error
        _check_operators(model, platform, log)
        for own in (decode, metadata.beside(part), part):
            os.replace(own, out.with_name(own.name))
    return Converted(out, len(others) if int8 else 0, agreement, toolkit_log.cycles(log))


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    """The toolkit leaves files in the current folder where it fails."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _check_operators(model: str | os.PathLike, platform: str, log: Path) -> None:
    unknown = toolkit_log.lacking(log)
    if unknown:
        raise DetectionError(
            f'{model}: the NPU of {platform} has no {", ".join(unknown)} and would refuse the '
            f'file ({log})'
        )


def _check(given: Detector, out: Path) -> None:
    if out.suffix != '.rknn':
        raise DetectionError(f'{out}: name it *.rknn')
    image = given.metadata.input
    if (
        given.metadata.form != 'decoded'
        or image.layout != 'NCHW'
        or image.normalised_in_graph
        or image.batch != 1
    ):
        raise DetectionError(
            f'{given.path}: an NPU takes one image and has no NMS, and the toolkit normalises '
            'images by itself: write the file with `mmdet-lcp export --decoded --preprocessed '
            '--batch 1`'
        )


def _shared_out(photos: Sequence, int8: bool) -> tuple[list, list]:
    """Photos to detect on, and the others: at least half, where eight bits need them."""
    photos = list(dict.fromkeys(Path(photo).resolve() for photo in photos))
    if not photos:
        raise DetectionError('no photos: give some that the detector finds something in')
    if int8 and len(photos) < 16:
        raise DetectionError(
            f'{len(photos)} photos are too few to calibrate eight bits on: give 16 or more, '
            '64 are better'
        )
    checked = (photos[::2] if int8 else photos)[:CHECKED]
    return checked, [photo for photo in photos if photo not in checked]


def _description(facts: dict[str, Any], platform: str, int8: bool) -> dict[str, Any]:
    """Of the new file: it takes images as they are read, and normalises them."""
    made = copy.deepcopy(facts)
    made['input'] |= {'layout': 'NHWC', 'dtype': 'uint8', 'normalised_in_graph': True}
    made['rknn'] = {'platform': platform, 'type': 'int8' if int8 else 'float16'}
    return made


def _calibration(given: Detector, photos: Sequence, folder: Path) -> Path:
    """A list of arrays for the toolkit: (1, C, H, W), uint8, resized as the file says."""
    image = replace(given.metadata.input, dtype='uint8', normalised_in_graph=True)
    rows = []
    for number, photo in enumerate(photos):
        planes, _ = prepare(given.pixels(photo), image)
        rows.append(f'{number}.npy')  # beside the list; the toolkit splits its lines at spaces
        np.save(folder / rows[-1], planes[None])
    listed = folder / 'images.txt'
    listed.write_text(''.join(f'{row}\n' for row in rows), encoding='utf-8')
    return listed


def _built(
    toolkit: ModuleType,
    network: Path,
    given: Detector,
    platform: str,
    images: Path | None,
    part: Path,
    log: Path,
) -> Any:
    """The toolkit's net, written and in the simulator."""
    image = given.metadata.input
    net = toolkit.RKNN(verbose=True)
    steps = (
        lambda: net.config(
            mean_values=[list(image.mean)], std_values=[list(image.std)], target_platform=platform
        ),
        lambda: net.load_onnx(model=str(network)),
        lambda: net.build(do_quantization=images is not None, dataset=images and str(images)),
        lambda: net.export_rknn(str(part)),
        lambda: net.init_runtime(),
    )
    for step in steps:
        try:
            failed = step()
        except Exception as error:  # the toolkit raises ValueError with its whole story
            failed = error
        if failed:
            net.release()
            why = toolkit_log.last(log)
            raise DetectionError(
                f"{given.path}: Rockchip's toolkit refuses it for {platform}: {why}"
            )
    return net
