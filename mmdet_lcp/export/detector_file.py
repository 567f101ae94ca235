"""Export a detector: one file that takes images and reports boxes, checked before it is kept.

The post-processing is written here, a file a family of heads (`postprocess`), on mmdet's own
coders, priors and activations. mmdeploy 1.3.1, the last release, was the other way: nobody
maintains it, its two-stage half asks torch for functions that are gone, and a head of somebody's
own would be traced with one image's numbers in place of a refusal.
"""

import copy
import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp.copies import detached_copy
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.agreement import Agreement
from mmdet_lcp.export.description import KEY, card, describe
from mmdet_lcp.export.geometry import Geometry
from mmdet_lcp.export.graph import ExportGraph, Pixels
from mmdet_lcp.export.needs import needed
from mmdet_lcp.export.onnx_file import INPUT
from mmdet_lcp.export.raw_facts import raw_facts
from mmdet_lcp.export.scenes import scenes
from mmdet_lcp.export.thresholds import change_thresholds
from mmdet_lcp.export.verification import check_end_to_end, check_outputs
from mmdet_lcp.export.writer import opset_for, write_onnx
from mmdet_lcp.files import atomic_path, write_json, write_text
from mmdet_lcp.modes import evaluated, in_eval

ANY = 'any'
PICTURES = 2  # that a file is tried on


@dataclass
class ExportResult:
    """What was written.

    Attributes:
        path: of the ONNX file.
        description: what it says of itself.
        agreement: how it compares with mmdet on the pictures that it was tried on.
        module: what was written, in eval mode: it takes the file's input and gives its outputs.
    """

    path: Path
    description: dict[str, Any]
    agreement: Agreement
    module: nn.Module


def export_detector(
    detector: nn.Module,
    geometry: Geometry,
    path: str | os.PathLike,
    form: str = 'end-to-end',
    pixels: bool = True,
    batch: int | str | None = None,
    opset: int | None = None,
    classes: Sequence[str] | None = None,
    plan: Any = None,
    images: np.ndarray | None = None,
    **thresholds: Any,
) -> ExportResult:
    """Write a detector as an ONNX file, and keep it if it detects what mmdet detects.

    Beside `path` a page about it is written (`.md`), and of the other forms than 'end-to-end' its
    description (`.json`).

    Args:
        detector: an mmdet detector; left as it is.
        geometry: of the input.
        path: the file, `*.onnx`.
        form: 'end-to-end' (`dets`, `labels`, maybe `masks`), 'decoded' (`boxes` and `scores` of
            all candidates) or 'raw' (the head's outputs).
        pixels: whether it takes images as they are read, (N, H, W, C) uint8, blue first; else
            preprocessed ones, (N, C, H, W) float32.
        batch: how many images at once, >= 1; 'any'; None: any where the detector can, else 1.
        opset: of the file, 16 to 20; None: 17, with deformable convolutions 19.
        classes: names; by default numbers.
        plan: that the detector was pruned by; its digest is written.
        images: (N, H, W, C) uint8, of the input's size, to try the file on; by default drawn.
        thresholds: see `change_thresholds`.

    Raises:
        CompressionError: onnx or onnxruntime is not installed, or the detector cannot be
            exported, or the file reports something else. No file is left then.
    """
    onnx = needed('onnx')
    needed('onnxruntime')
    path = Path(path)
    if path.suffix != '.onnx':
        raise CompressionError(f'{path}: the name of an ONNX file ends in .onnx')
    own = evaluated(detached_copy(detector).cpu())
    change_thresholds(own, **thresholds)
    graph = ExportGraph(copy.deepcopy(own), geometry.size, form, pixels).eval()
    limits = getattr(graph.postprocess, 'thresholds', None)
    _check_read(graph, thresholds)
    opset = opset_for(graph, opset)
    batch = _batch(batch, graph, type(detector).__name__)
    channels = _channels(own, geometry.size)
    if images is None or images.shape[-1] != channels:
        count = max(PICTURES, (batch or 1))
        images = scenes(count, geometry.height, geometry.width, channels)
    if images.shape[1:] != (*geometry.size, channels):
        raise CompressionError(
            f'images to try the file on are {images.shape[1:]}, its input {geometry.size} with '
            f'{channels} channels'
        )
    if batch and len(images) < batch:
        images = np.concatenate([images] * -(-batch // len(images)))
    inputs = images if pixels else _preprocessed(own, images)
    example = torch.from_numpy(inputs[: batch or 1])
    names, inside, outputs = _tried(graph, example)
    dynamic = {} if batch else {name: {0: 'n'} for name in (INPUT, *names)}
    more = {}
    if form == 'raw':
        more = {'raw': raw_facts(own, outputs, names, geometry.size)}
    if form == 'decoded' and not graph.two_stage:
        levels = graph.postprocess.levels(inside)
        more = {'levels': [int(level.boxes.shape[1]) for level in levels]}
        if any(level.factors is not None for level in levels):
            limits = dataclasses.replace(limits, score=0.0)  # it is applied in the file
    if graph.two_stage:
        proposals = graph.postprocess.proposals.thresholds
        more = {
            'proposals': {
                'nms_pre': proposals.nms_pre,
                'iou': proposals.iou,
                'max_per_img': proposals.max_per_img,
            }
        }
    if form != 'end-to-end' and finds_masks(own):
        more['left_out'] = ['masks']
    elif graph.two_stage and graph.postprocess.with_masks:
        more['mask_threshold'] = graph.postprocess.mask_threshold
    total = _num_classes(own)
    labels = [str(number) for number in range(total)]
    if classes and len(classes) == total:
        labels = list(classes)
    description = describe(
        form, own, geometry, channels, pixels, batch, names,
        labels,
        limits, plan, opset, more,
    )  # fmt: skip
    with atomic_path(path) as temporary:
        write_onnx(graph, example, temporary, names, opset, dynamic, type(detector).__name__)
        model = onnx.load(str(temporary))
        entry = model.metadata_props.add()
        entry.key, entry.value = KEY, json.dumps(description)
        onnx.save(model, str(temporary))
        with in_eval(own):
            if form == 'end-to-end':
                found = check_end_to_end(temporary, own, limits, inputs, pixels, batch)
            else:
                found = check_outputs(temporary, graph, inputs, batch)
    if form != 'end-to-end':
        write_json(path.with_suffix('.json'), description)
    write_text(path.with_suffix('.md'), card(path.name, description, checked(found, form)))
    return ExportResult(path, description, found, graph)


def checked(found: Agreement, form: str) -> str:
    """A sentence about the comparison."""
    if form != 'end-to-end':
        return (
            f'Compared with torch before it was kept: boxes differ by up to {found.box:.2g} '
            f'pixels, other values by {found.score:.2g}.'
        )
    masks = f', masks by {found.mask:.2g}' if found.mask else ''
    return (
        f"Compared with mmdet's own predictions before it was kept: {found.pairs} detections in "
        f'both, whose boxes differ by up to {found.box:.2g} pixels and scores by '
        f'{found.score:.2g}{masks}; {found.ties} in one alone by a tie, {found.others} for '
        'another reason.'
    )


def _check_read(graph: ExportGraph, thresholds: dict[str, Any]) -> None:
    """Refuse thresholds that would have no effect, since mmdet does not read them either."""
    post = graph.postprocess
    if post is None:
        return
    without = [] if post.with_nms else ['iou_thr', 'nms_pre']
    if not getattr(post, 'reads_nms_pre', True):
        without = ['nms_pre']
    for name in without:
        if thresholds.get(name) is not None:
            raise CompressionError(
                f'{name}={thresholds[name]} would have no effect: mmdet does not read it for '
                f'{type(post.head).__name__}. Leave it out; score_thr and max_per_img limit what '
                'is reported'
            )


def _batch(batch: int | str | None, graph: ExportGraph, what: str) -> int | None:
    """The number of images; None for any."""
    can = graph.postprocess is not None and graph.postprocess.any_batch
    if batch is None:
        return None if can else 1
    if batch == ANY:
        if not can:
            raise CompressionError(
                f'{what}: its forward is of as many images as are traced: take --batch with a '
                'number'
            )
        return None
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise CompressionError(f'batch {batch!r}: take a whole number from 1, or {ANY!r}')
    return batch


@torch.no_grad()
def _channels(detector: nn.Module, size: tuple[int, int]) -> int:
    """How many channels its images have: what its backbone runs on."""
    errors = []
    for channels in (3, 1, 4):
        try:
            detector.extract_feat(torch.zeros(1, channels, *size))
        except (RuntimeError, IndexError, ValueError) as error:
            errors.append(str(error))
        else:
            return channels
    raise CompressionError(
        f'{type(detector).__name__} runs on images of {size[0]} x {size[1]} neither with 3 nor '
        f'with 1 or 4 channels: {errors[0]:.300}'
    )


@torch.no_grad()
def _preprocessed(detector: nn.Module, images: np.ndarray) -> np.ndarray:
    return Pixels(detector.data_preprocessor)(torch.from_numpy(images)).numpy()


@torch.no_grad()
def _tried(graph: ExportGraph, example: torch.Tensor) -> tuple[list[str], tuple, tuple]:
    """Names of outputs, what the head gives, and the outputs.

    Priors are computed on the way, outside of the trace.
    """
    try:
        inside = graph.head_outputs(graph.prepared(example))
        outputs = graph(example)
    except (RuntimeError, IndexError, AssertionError, TypeError, AttributeError) as error:
        raise CompressionError(
            f'{type(graph.detector).__name__} does not run on images of '
            f'{graph.image_size[0]} x {graph.image_size[1]}: {error!s:.300}'
        ) from error
    for output in [*tree_leaves(inside), *outputs]:
        if isinstance(output, torch.Tensor) and not torch.isfinite(output.float()).all():
            raise CompressionError(
                f'{type(graph.detector).__name__} computes values that are not finite on an '
                'ordinary picture: these are not the weights of a trained detector'
            )
    return graph.output_names(inside, outputs), inside, outputs


def finds_masks(detector: nn.Module) -> bool:
    """Whether a detector has a head for masks of instances."""
    return getattr(getattr(detector, 'roi_head', detector), 'mask_head', None) is not None


def _num_classes(detector: nn.Module) -> int:
    head = detector.bbox_head if not hasattr(detector, 'roi_head') else detector.roi_head.bbox_head
    head = head[-1] if isinstance(head, nn.ModuleList) else head
    return int(head.num_classes)
