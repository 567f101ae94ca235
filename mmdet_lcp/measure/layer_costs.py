"""Where a detector's cost lies: channels, parameters, operations and time, layer by layer."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_lcp.graph.layer_kinds import layers_of
from mmdet_lcp.measure.cost import layer_macs
from mmdet_lcp.measure.latency import undisturbed_clock
from mmdet_lcp.measure.one_image import evaluating, prepare

_RUNS = 8


@dataclass(frozen=True)
class LayerCost:
    """What one layer with kernels costs.

    Attributes:
        channels: That it writes.
        params: Elements of its parameters.
        macs: Multiply-accumulates of one image, of all its calls.
        ms: Milliseconds of one image, of all its calls: the least of a few runs.
    """

    channels: int
    params: int
    macs: int
    ms: float


def layer_costs(
    detector: nn.Module, input_shape: tuple[int, int], runs: int = _RUNS
) -> dict[str, LayerCost]:
    """Measure each layer with kernels: convolutions, linear layers.

    The times are those of the layers alone, measured inside the whole pass: norms, activations
    and post-processing are in none of them, so that their sum is less than the latency. On a GPU
    each layer is waited for.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.
        runs: How often it is timed, at least 1; it runs once before.

    Returns:
        Cost by path, in the order in which the layers first run; those that do not run are left
        out.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    macs = layer_macs(detector, input_shape)
    layers = {path: module for path, module, _ in layers_of(detector)}
    clock = undisturbed_clock(next(detector.parameters()).device)
    channels: dict[str, int] = {}  # in the order of the first run
    began: dict[str, float] = {}
    spent: dict[str, float] = {}
    best: dict[str, float] = {}

    def before(path: str, module: nn.Module, args: tuple) -> None:
        began[path] = _now(clock, args)

    def after(path: str, module: nn.Module, args: tuple, output: Any) -> None:
        spent[path] = spent.get(path, 0.0) + _now(clock, args) - began[path]
        channels.setdefault(path, _channels(module, output))

    hooks = []
    for path, module in layers.items():
        hooks.append(module.register_forward_pre_hook(partial(before, path)))
        hooks.append(module.register_forward_hook(partial(after, path)))
    try:
        with evaluating(detector):
            forward, image = prepare(detector, input_shape)
            for run in range(runs + 1):
                spent.clear()
                forward(image)
                for path, seconds in spent.items() if run else ():
                    best[path] = min(best.get(path, seconds), seconds)
    finally:
        for hook in hooks:
            hook.remove()
    return {
        path: LayerCost(
            channels[path],
            sum(parameter.numel() for parameter in layers[path].parameters()),
            sum(macs[path].values()),
            1000 * best[path],
        )
        for path in channels
        if path in best
    }


def _channels(module: nn.Module, output: Any) -> int:
    """Channels that a layer writes, as it says itself or as its output has them."""
    for name in ('out_channels', 'out_features'):
        if isinstance(found := getattr(module, name, None), int):
            return found
    if not isinstance(output, Tensor):
        return 0
    return output.shape[1] if output.dim() == 4 else output.shape[-1]


def _now(clock: Callable[[], float], args: tuple) -> float:
    """The time when everything before it is done."""
    tensor = args[0] if args else None
    if isinstance(tensor, Tensor) and tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return clock()
