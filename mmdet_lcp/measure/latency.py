"""How long one image takes: milliseconds on the device at hand."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.measure.one_image import evaluating, prepare


def latency_ms(
    detector: nn.Module,
    input_shape: tuple[int, int],
    runs: int = 10,
    warmup: int = 3,
    mode: str = 'tensor',
    pick: Callable[[list[float]], float] = statistics.median,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Measure the wall time of one image on the detector's device.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.
        runs: How often it is measured, at least 1.
        warmup: How often it runs before.
        mode: ``'tensor'`` is the network alone; ``'predict'`` adds post-processing, whose time
            follows the number of boxes found (here in noise). Loading, normalisation and the
            transfer of the image are in neither.
        pick: What counts of the runs: the median, or ``min`` where other work disturbs it.
        clock: Tells seconds; see also :func:`undisturbed_clock`.

    Returns:
        Milliseconds.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers, or ``runs`` is below 1.
    """
    if runs < 1:
        raise CompressionError(f'latency needs at least one run, not {runs}.')
    times = []
    with evaluating(detector):
        forward, image = prepare(detector, input_shape, mode)
        for index in range(warmup + runs):
            _synchronise(image)
            start = clock()
            forward(image)
            _synchronise(image)
            if index >= warmup:
                times.append(clock() - start)
    return 1000 * pick(times)


def undisturbed_clock(device: torch.device) -> Callable[[], float]:
    """A clock for comparing detectors on a machine that does other things as well.

    On one CPU thread the processor time of this process, which is the wall time of an idle
    machine; elsewhere the wall time.

    Args:
        device: that the detectors are on.

    Returns:
        A function that tells seconds since any moment.
    """
    alone = device.type == 'cpu' and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter


def _synchronise(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
