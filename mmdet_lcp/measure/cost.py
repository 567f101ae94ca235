"""What one image costs: parameters, multiply-accumulates and milliseconds.

The totals are those that mmdet's ``get_flops.py`` prints, so that they compare with its model
zoo: one fused multiply-add counts once, norms and resizing are counted as mmengine counts them,
and what has no formula there (deformable convolution, RoIAlign, NMS) counts nothing.
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.analysis import FlopAnalyzer
from mmengine.model import ImgDataPreprocessor
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils._pytree import tree_leaves

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.example import input_channels
from mmdet_lcp.modes import in_eval


@contextlib.contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Put ``models`` into eval mode without gradients, and every module back afterwards."""
    with in_eval(*models), torch.no_grad():
        yield


def detector_cost(detector: nn.Module, input_shape: tuple[int, int]) -> dict[str, int]:
    """Count parameters and multiply-accumulates of one image, as mmdet's ``get_flops.py`` does.

    The forward is mmdet's mode ``'tensor'``: backbone, neck and heads, without post-processing.
    For a two-stage detector it goes through the proposals, whose number follows the image; a
    fixed noise image is used, so the count repeats.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels; a detector's data preprocessor pads
            it as it does when it detects.

    Returns:
        ``params``: the number of parameters, shared ones once. ``macs``: multiply-accumulates.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    params = sum(parameter.numel() for parameter in detector.parameters())
    return dict(params=params, macs=macs_by_module(detector, input_shape)[''])


def macs_by_module(detector: nn.Module, input_shape: tuple[int, int]) -> dict[str, int]:
    """Count the multiply-accumulates inside each module, all kinds of operations together.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.

    Returns:
        Module path -> multiply-accumulates of all its calls, its children's included; those of
        :func:`detector_cost` under ``''``.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    with evaluating(detector):
        forward, image = _prepare(detector, input_shape)
        counter = FlopAnalyzer(forward, (image,))
        counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        counts = counter.tracer_warnings('none').by_module()
    inside = {
        path.removeprefix('detector.'): int(macs)
        for path, macs in counts.items()
        if path.startswith('detector.')
    }
    return {**inside, '': int(counts[''])}


def module_macs(detector: nn.Module, input_shape: tuple[int, int]) -> dict[str, int]:
    """Count the multiply-accumulates of each convolution and linear layer.

    A layer that runs more than once (a head shared by the levels) counts each time. The sum is
    the convolution and linear part of :func:`detector_cost`.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.

    Returns:
        Module path -> multiply-accumulates, in the order of ``named_modules``; a layer that did
        not run has 0.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    macs: dict[str, int] = {}
    handles = []

    def count(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            macs[name] += _layer_macs(module, inputs[0], output)

        return hook

    try:
        for name, module in detector.named_modules():
            if isinstance(module, _ConvNd | nn.Linear):
                macs[name] = 0
                handles.append(module.register_forward_hook(count(name)))
        run_once(detector, input_shape)
    finally:
        for handle in handles:
            handle.remove()
    return macs


def run_once(detector: nn.Module, input_shape: tuple[int, int]) -> None:
    """Run the forward pass that is counted and timed here once, for the sake of hooks.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    with evaluating(detector):
        forward, image = _prepare(detector, input_shape)
        forward(image)


def backbone_macs(
    detector: nn.Module, input_shape: tuple[int, int], prefix: str = 'backbone'
) -> int:
    """Count the convolution and linear multiply-accumulates below one module.

    Args:
        detector: An mmdet detector.
        input_shape: (height, width) of the image in pixels.
        prefix: Path of the module, the backbone unless told.

    Returns:
        Multiply-accumulates; 0 where the detector has no such module.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    macs = module_macs(detector, input_shape)
    return sum(n for name, n in macs.items() if name == prefix or name.startswith(f'{prefix}.'))


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
        forward, image = _prepare(detector, input_shape, mode)
        for index in range(warmup + runs):
            _synchronise(image)
            start = clock()
            forward(image)
            _synchronise(image)
            if index >= warmup:
                times.append(clock() - start)
    return 1000 * pick(times)


def paired_latency_ms(
    first: nn.Module,
    second: nn.Module,
    input_shape: tuple[int, int],
    rounds: int = 5,
    pick: Callable[[list[float]], float] = statistics.median,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Measure two detectors in turn, so that what else the machine does meets both alike.

    Args:
        first: An mmdet detector.
        second: Another one.
        input_shape: (height, width) of the image in pixels.
        rounds: How often each is measured, at least 1.
        pick: What counts of the runs of a round and of the rounds, see :func:`latency_ms`.
        clock: Tells seconds.

    Returns:
        Milliseconds, in the order of the detectors.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for detector, kept in zip((first, second), times, strict=True):
            more = dict(runs=5, warmup=1, pick=pick, clock=clock)
            kept.append(latency_ms(detector, input_shape, **more))
    return pick(times[0]), pick(times[1])


def undisturbed_clock(device: torch.device) -> Callable[[], float]:
    """A clock for comparing detectors on a machine that does other things as well.

    On one CPU thread the processor time of this process, which is the wall time of an idle
    machine; elsewhere the wall time.
    """
    alone = device.type == 'cpu' and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter


class _Forward(nn.Module):
    """A detector with its data sample: one tensor in, a flat tuple of tensors out."""

    def __init__(self, detector: nn.Module, data_sample: DetDataSample, mode: str) -> None:
        super().__init__()
        self.detector = detector
        self.data_sample = data_sample
        self.mode = mode

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        if isinstance(self.detector, BaseDetector):
            outputs = self.detector(image, [self.data_sample], mode=self.mode)
        else:
            outputs = self.detector(image)
        return tuple(leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor))


def _prepare(
    detector: nn.Module, input_shape: tuple[int, int], mode: str = 'tensor'
) -> tuple[_Forward, Tensor]:
    """Return what to run, in the detector's own modes, and a preprocessed noise image for it."""
    if len(input_shape) != 2 or not all(isinstance(n, int) and n > 0 for n in input_shape):
        raise CompressionError(f'input_shape is (height, width) in pixels, not {input_shape!r}.')
    noise, channels = torch.Generator().manual_seed(0), input_channels(detector)
    image = torch.randint(0, 256, (channels, *input_shape), generator=noise, dtype=torch.uint8)
    shape = tuple(input_shape)
    meta = dict(img_shape=shape, ori_shape=shape, pad_shape=shape, scale_factor=(1.0, 1.0))
    sample = DetDataSample(metainfo=dict(**meta, batch_input_shape=shape, img_id=0))
    preprocessor = getattr(detector, 'data_preprocessor', None)
    if isinstance(preprocessor, ImgDataPreprocessor):
        data = preprocessor(dict(inputs=[image], data_samples=[sample]), training=False)
        batch, sample = data['inputs'], data['data_samples'][0]
    else:
        batch = (image[None].float() - 128) / 64
    parameter = next(detector.parameters(), None)
    if parameter is not None:
        batch = batch.to(parameter.device)
    forward = _Forward(detector, sample, mode)
    forward.training = False
    return forward, batch


def _layer_macs(module: nn.Module, x: Tensor, y: Tensor) -> int:
    """Count one call of a layer: each output (transposed: input) element costs one kernel."""
    if isinstance(module, nn.Linear):
        return y.numel() * module.in_features
    channels = module.out_channels if isinstance(module, _ConvTransposeNd) else module.in_channels
    elements = x.numel() if isinstance(module, _ConvTransposeNd) else y.numel()
    kernel = 1
    for size in module.kernel_size:
        kernel *= size
    return elements * (channels // module.groups) * kernel


def _synchronise(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
