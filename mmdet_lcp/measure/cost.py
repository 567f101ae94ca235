"""What one image costs: parameters, multiply-accumulates and milliseconds.

Multiply-accumulates of layers with kernels are counted by their kinds (`graph.layer_kinds`), here
and wherever else they are asked for; those of the other operations by mmengine. The totals are
those that mmdet's ``get_flops.py`` prints, so that they compare with its model zoo: one fused
multiply-add counts once, norms and resizing are counted as mmengine counts them, and what has no
formula there (deformable convolution, RoIAlign, NMS) counts nothing. PyTorch's `flop_counter`
counts two operations for each of the layers' and leaves norms, resizing and pooling out.
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.structures import DetDataSample
from mmengine.analysis import FlopAnalyzer
from mmengine.model import ImgDataPreprocessor
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.example import input_channels
from mmdet_lcp.graph.forward import is_two_stage, tensor_forward
from mmdet_lcp.graph.layer_kinds import LayerKind, layers_of
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
    fixed noise image is used, so the count repeats. Where mmdet has no such mode (Fast R-CNN,
    Sparse R-CNN, YOLACT), it is `graph.forward.tensor_forward`, with regions of its own.

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


@dataclass(frozen=True)
class MacCount:
    """Multiply-accumulates of one image.

    Attributes:
        modules: of all calls of each module that ran, its children's included, by path; those of
            the whole detector under ``''``.
        layers: of each layer with kernels, by path, by name of the tensor that takes part in them
            (see `LayerKind.macs`); empty for one that did not run.
    """

    modules: dict[str, int]
    layers: dict[str, dict[str, int]]


def count_macs(detector: nn.Module, input_shape: tuple[int, int]) -> MacCount:
    """Count the multiply-accumulates of all kinds of operations.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    with _counted_layers(detector) as layers, evaluating(detector):
        forward, image = _prepare(detector, input_shape)
        counter = FlopAnalyzer(forward, (image,))
        counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        counts = counter.tracer_warnings('none').by_module()
    modules = {
        path.removeprefix('detector.'): int(macs)
        for path, macs in counts.items()
        if path.startswith('detector.')
    }
    modules[''] = int(counts[''])
    for path, _, kind in layers_of(detector):
        if kind.known and layers[path]:
            # Nothing, where the layer is one of PyTorch's operators, which mmengine counts alike.
            more = sum(layers[path].values()) - modules.get(path, 0)
            for above in _with_parents(path) if more else ():
                modules[above] = modules.get(above, 0) + more
    return MacCount(modules, layers)


def macs_by_module(detector: nn.Module, input_shape: tuple[int, int]) -> dict[str, int]:
    """The `modules` of :func:`count_macs`."""
    return count_macs(detector, input_shape).modules


def layer_macs(detector: nn.Module, input_shape: tuple[int, int]) -> dict[str, dict[str, int]]:
    """The `layers` of :func:`count_macs`, in one forward pass.

    A layer that runs more than once (a head shared by the levels) counts each time.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    with _counted_layers(detector) as layers:
        run_once(detector, input_shape)
    return layers


@contextlib.contextmanager
def _counted_layers(detector: nn.Module) -> Iterator[dict[str, dict[str, int]]]:
    """Count the layers of the forward passes that run within, see `MacCount.layers`."""
    macs: dict[str, dict[str, int]] = {}

    def note(path: str, kind: LayerKind, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        for name, number in kind.macs(module, inputs[0], output).items():
            # In a trace, as mmengine's counter runs one, sizes are tensors.
            macs[path][name] = macs[path].get(name, 0) + int(number)

    with contextlib.ExitStack() as hooks:
        for path, module, kind in layers_of(detector):
            macs[path] = {}
            hook = module.register_forward_hook(partial(note, path, kind))
            hooks.callback(hook.remove)
        yield macs


def module_macs(detector: nn.Module, input_shape: tuple[int, int]) -> dict[str, int]:
    """Count the multiply-accumulates of each layer with kernels: convolutions, linear layers.

    The sum is their part of :func:`detector_cost`.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.

    Returns:
        Module path -> multiply-accumulates, in the order of ``named_modules``; a layer that did
        not run has 0.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    counted = layer_macs(detector, input_shape)
    return {path: sum(parts.values()) for path, parts in counted.items()}


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
        if self.mode == 'tensor' and _lacks_tensor_mode(self.detector):
            outputs = tensor_forward(self.detector, image, [self.data_sample])
        elif isinstance(self.detector, BaseDetector):
            outputs = self.detector(image, [self.data_sample], mode=self.mode)
        else:
            outputs = self.detector(image)
        return tuple(leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor))


def _lacks_tensor_mode(detector: nn.Module) -> bool:
    """Whether mmdet's own ``mode='tensor'`` stops on a detector, for want of proposals or masks.

    Fast R-CNN wants proposals; the RPN of Sparse R-CNN and of Cascade RPN has no ``forward``;
    instance segmentors with a head of boxes want their annotations.
    """
    if is_two_stage(detector):
        return not detector.with_rpn or not _has_forward(detector.rpn_head)
    return isinstance(detector, SingleStageInstanceSegmentor) and detector.with_bbox


def _has_forward(module: nn.Module) -> bool:
    return type(module).forward is not nn.Module.forward


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


def _with_parents(path: str) -> list[str]:
    """``'a.b'`` -> ``['', 'a', 'a.b']``."""
    parts = path.split('.') if path else []
    return ['.'.join(parts[:length]) for length in range(len(parts) + 1)]


def _synchronise(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
