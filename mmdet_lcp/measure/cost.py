"""What one image costs: parameters and multiply-accumulates.

Multiply-accumulates of layers with kernels are counted by their kinds (`graph.layer_kinds`), here
and wherever else they are asked for; those of the other operations by mmengine. The totals are
those that mmdet's ``get_flops.py`` prints, so that they compare with its model zoo: one fused
multiply-add counts once, norms and resizing are counted as mmengine counts them, and what has no
formula there (deformable convolution, RoIAlign, NMS) counts nothing. PyTorch's `flop_counter`
counts two operations for each of the layers' and leaves norms, resizing and pooling out.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from mmengine.analysis import FlopAnalyzer
from torch import Tensor, nn

from mmdet_lcp.graph.layer_kinds import LayerKind, layers_of
from mmdet_lcp.measure.one_image import evaluating, prepare, run_once, same_proposals


def detector_cost(
    detector: nn.Module, input_shape: tuple[int, int], like: nn.Module | None = None
) -> dict[str, int]:
    """Count parameters and multiply-accumulates of one image, as mmdet's ``get_flops.py`` does.

    The forward is mmdet's mode ``'tensor'``: backbone, neck and heads, without post-processing.
    For a two-stage detector it goes through the proposals, whose number follows the image; a
    fixed noise image is used, so the count repeats; two detectors compare only on the same
    proposals. Where mmdet has no such mode (Fast R-CNN,
    Sparse R-CNN, YOLACT), it is `graph.forward.tensor_forward`, with regions of its own.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels; a detector's data preprocessor pads
            it as it does when it detects.
        like: of a two-stage detector the one whose proposals its heads run on, see
            `one_image.same_proposals`; its own unless told.

    Returns:
        ``params``: the number of parameters, shared ones once. ``macs``: multiply-accumulates.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    params = sum(parameter.numel() for parameter in detector.parameters())
    return dict(params=params, macs=macs_by_module(detector, input_shape, like)[''])


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


def count_macs(
    detector: nn.Module, input_shape: tuple[int, int], like: nn.Module | None = None
) -> MacCount:
    """Count the multiply-accumulates of all kinds of operations.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.
        like: of a two-stage detector the one whose proposals its heads run on, see
            `one_image.same_proposals`; its own unless told.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    with (
        same_proposals(detector, like, input_shape),
        _counted_layers(detector) as layers,
        evaluating(detector),
    ):
        forward, image = prepare(detector, input_shape)
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


def macs_by_module(
    detector: nn.Module, input_shape: tuple[int, int], like: nn.Module | None = None
) -> dict[str, int]:
    """The `modules` of :func:`count_macs`."""
    return count_macs(detector, input_shape, like).modules


def layer_macs(
    detector: nn.Module, input_shape: tuple[int, int], like: nn.Module | None = None
) -> dict[str, dict[str, int]]:
    """The `layers` of :func:`count_macs`, in one forward pass.

    A layer that runs more than once (a head shared by the levels) counts each time.

    Args:
        detector: An mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.
        like: of a two-stage detector the one whose proposals its heads run on, see
            `one_image.same_proposals`; its own unless told.

    Raises:
        CompressionError: ``input_shape`` is not two positive integers.
    """
    with same_proposals(detector, like, input_shape), _counted_layers(detector) as layers:
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


def _with_parents(path: str) -> list[str]:
    """``'a.b'`` -> ``['', 'a', 'a.b']``."""
    parts = path.split('.') if path else []
    return ['.'.join(parts[:length]) for length in range(len(parts) + 1)]
