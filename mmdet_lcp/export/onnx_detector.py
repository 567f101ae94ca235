"""An exported detector that mmdet can test: ONNX Runtime computes the network, mmdet the rest."""

import os
import statistics
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from mmdet_lcp.copies import detached_copy
from mmdet_lcp.export.needs import needed
from mmdet_lcp.export.onnx_file import INPUT
from mmdet_lcp.modes import evaluated, in_eval


def open_session(path: str | os.PathLike) -> Any:
    """An ONNX Runtime session on the CPU, with as many threads as PyTorch has.

    Raises:
        CompressionError: onnxruntime is not installed.
    """
    runtime = needed('onnxruntime')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])


def onnx_detector(detector: nn.Module, session: Any, image_size: tuple[int, int]) -> nn.Module:
    """A copy of a detector whose layers are replaced by a session.

    ``predict`` and with it mmdet's test loop work as before: preprocessing, decoding and NMS are
    the detector's own.

    Args:
        detector: the one that was exported.
        session: by `open_session`, of its file.
        image_size: (height, width) in pixels of an image that it takes.
    """
    twin = evaluated(detached_copy(detector).cpu())
    example = next(twin.parameters()).new_zeros(1, 3, *image_size)
    with in_eval(twin), torch.no_grad():
        _, structure = tree_flatten(twin(example, mode='tensor'))

    def run(images: Tensor) -> Any:
        found = session.run(None, {INPUT: images.contiguous().numpy()})
        return tree_unflatten([torch.from_numpy(value) for value in found], structure)

    twin.extract_feat = run
    twin.bbox_head.forward = lambda outputs: outputs
    return twin


def session_latency_ms(sessions: list[Any], image_size: tuple[int, int], rounds: int = 9) -> list:
    """Milliseconds for one image, the median; the sessions run in turn, so that all meet the same.

    Args:
        sessions: by `open_session`.
        image_size: (height, width) in pixels.
        rounds: of five runs each.
    """
    image = np.zeros((1, 3, *image_size), np.float32)
    times: list[list[float]] = [[] for _ in sessions]
    for _ in range(rounds):
        for session, own in zip(sessions, times, strict=True):
            for warm in (True, False, False, False, False):
                begin = time.perf_counter()
                session.run(None, {INPUT: image})
                if not warm:
                    own.append(1e3 * (time.perf_counter() - begin))
    return [statistics.median(own) for own in times]
