"""A written file against mmdet: both look at the same pictures.

mmdet's own data preprocessor, forward, decoding and NMS make the detections that count; the file
is run by ONNX Runtime and has to report the same up to ties.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmdet_lcp.detectors.recorded_calls import Call, recorded_calls
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.agreement import BOX, SCORE, Agreement, Found, agreement
from mmdet_lcp.export.graph import END_TO_END, ExportGraph, samples
from mmdet_lcp.export.onnx_detector import open_session
from mmdet_lcp.export.onnx_file import INPUT
from mmdet_lcp.export.thresholds import Thresholds
from mmdet_lcp_runtime.engines import open_engine

MASK = 1e-2
OTHERS = 0.02  # of detections may differ without a tie in sight: of two stages, proposals tie
# Some detectors blow rounding up (queries of DINO that swap change all others): a file may differ
# from mmdet by so many times what mmdet with torch's other convolutions differs from itself.
NOISE = 2
TIES = 0.5  # of the pairs; where there are more, boxes are elsewhere and only look like ties


@torch.no_grad()
def predicted(
    detector: nn.Module, images: np.ndarray, limits: Thresholds, pixels: bool
) -> list[Found]:
    """What mmdet detects.

    Args:
        detector: in eval mode.
        images: (N, H, W, C) uint8; or, not `pixels`, preprocessed (N, C, H, W) float32.
        limits: of the detector.
        pixels: see `images`.
    """
    size = images.shape[1:3] if pixels else images.shape[2:]
    inputs = torch.from_numpy(images)
    if pixels:
        data = {'inputs': list(inputs.permute(0, 3, 1, 2)), 'data_samples': None}
        inputs = detector.data_preprocessor(data, False)['inputs']
    found = []
    for image in inputs:  # one at a time: mmdet's own batches may differ in the last digit
        with _mask_calls(detector) as calls:
            sample = detector.predict(image[None], samples(1, tuple(map(int, size))))[0]
        instances = sample.pred_instances
        keep = torch.arange(len(instances.scores))
        if limits.nms == 'none':  # mmdet reports all of them; the file those above the threshold
            keep = keep[instances.scores > limits.score]
        keep = keep[: limits.max_per_img]
        boxes = instances.bboxes[keep]
        masks = None
        if 'masks' in instances:
            masks = _of_labels(calls, instances.labels)[keep].numpy()
        scores, labels = instances.scores[keep].numpy(), instances.labels[keep].numpy()
        found.append(Found(boxes.numpy(), scores, labels, masks))
    return found


def _mask_calls(detector: nn.Module) -> AbstractContextManager[list[Call]]:
    """What mmdet gives its mask head to paste, a call an image that something is detected in."""
    head = getattr(getattr(detector, 'roi_head', None), 'mask_head', None)
    head = head[-1] if isinstance(head, nn.ModuleList) else head
    return nullcontext([]) if head is None else recorded_calls(head, 'predict_by_feat')


def _of_labels(calls: list[Call], labels: Tensor) -> Tensor:
    """Of one image, the mask of each detection's class, (K, h, w) in [0, 1]."""
    if not calls:  # nothing was detected
        return torch.zeros(0, 1, 1)
    (call,) = calls
    (values,) = call.given(0, 'mask_preds')
    values = values if call.kwargs.get('activate_map') else values.sigmoid()
    which = labels if values.shape[1] > 1 else torch.zeros_like(labels)
    return values[torch.arange(len(labels)), which]


def reported(outputs: list[np.ndarray]) -> list[Found]:
    """What an end-to-end file reports, an image each: `dets`, `labels`, maybe `masks`."""
    dets, labels, *masks = outputs
    found = []
    for number in range(len(dets)):
        there = labels[number] >= 0
        rows = dets[number][there]
        own = masks[0][number][there] if masks else None
        found.append(Found(rows[:, :4], rows[:, 4], labels[number][there], own))
    return found


def run_file(path: str | os.PathLike, images: np.ndarray) -> list[np.ndarray]:
    """A file's outputs on a batch: by ONNX Runtime, or the engine of the file's suffix."""
    if Path(path).suffix == '.onnx':
        return open_session(path).run(None, {INPUT: images})
    found = open_engine(path, None, None).run({INPUT: images})
    return [found[name] for name in END_TO_END if name in found]


def check_end_to_end(
    path: str | os.PathLike,
    detector: nn.Module,
    limits: Thresholds,
    images: np.ndarray,
    pixels: bool,
    batch: int | None,
) -> Agreement:
    """Compare a file's detections with mmdet's.

    Raises:
        CompressionError: they are not the same.
    """
    expected = predicted(detector, images, limits, pixels)
    step = batch or len(images)
    found: list[Found] = []
    for first in range(0, len(images) - step + 1, step):
        found += reported(run_file(path, images[first : first + step]))
    total = _compared(found, expected, limits)
    most = OTHERS * sum(map(len, expected)) if hasattr(detector, 'roi_head') else 0
    if total.others > most:  # as many as where torch itself rounds in another way?
        with torch.backends.mkldnn.flags(enabled=False):
            rounded = predicted(detector, images, limits, pixels)
        most = max(most, NOISE * _compared(rounded, expected, limits).others)
    if total.others > most or total.ties > TIES * total.pairs or total.mask > MASK:
        raise CompressionError(
            f'the file reports other detections than mmdet: of the {sum(map(len, found))} of the '
            f'file and the {sum(map(len, expected))} of mmdet {total.others} are in one alone, '
            f'and {total.ties} more for a tie; of the pairs boxes differ by up to '
            f'{total.box:.3g} pixels, scores by {total.score:.2g}, masks by {total.mask:.2g}. '
            'It was not kept'
        )
    return total


def _compared(found: list[Found], expected: list[Found], limits: Thresholds) -> Agreement:
    total = Agreement()
    for one, other in zip(found, expected, strict=False):
        total += agreement(
            one, other, limits.score, limits.iou, limits.max_per_img, limits.class_agnostic
        )
    return total


@torch.no_grad()
def check_outputs(
    path: str | os.PathLike, graph: ExportGraph, images: np.ndarray, batch: int | None
) -> Agreement:
    """Compare a decoded or raw file's outputs with the same computed by torch.

    Raises:
        CompressionError: they differ, or are not finite.
    """
    images = images[: batch or len(images)]
    found = run_file(path, images)
    expected = [each.numpy() for each in graph(torch.from_numpy(images))]
    result = Agreement(pairs=len(found))
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        boxes = graph.form == 'decoded' and number == 0
        most, unit = (BOX, 1e-2) if boxes else (SCORE, 1.0)
        away = np.abs(one - other) / np.maximum(1, np.abs(other) * unit)
        # proposals of equal scores may swap, and their rows with them
        largest = float(np.quantile(away, 1 - OTHERS) if graph.two_stage else away.max())
        if not largest <= most:
            raise CompressionError(
                f'the file computes something else than torch: output {number} differs by '
                f'{largest:.3g}. It was not kept'
            )
        key = 'box' if boxes else 'score'
        setattr(result, key, max(getattr(result, key), largest))
    return result
