"""Which activation follows a layer: a runtime computes both in one go."""

from collections.abc import Iterator

from torch import Tensor, nn

from mmdet_lcp.graph.layer_kinds import kind_of, layers_of
from mmdet_lcp.measure.one_image import run_once

# By the name of its class, in PyTorch or mmcv.
NAMES = {
    'ReLU': 'relu',
    'ReLU6': 'relu6',
    'LeakyReLU': 'leaky_relu',
    'SiLU': 'silu',
    'Swish': 'silu',
    'Hardswish': 'hardswish',
    'HSwish': 'hardswish',
    'Sigmoid': 'sigmoid',
    'GELU': 'gelu',
}


def activations_of(detector: nn.Module, input_shape: tuple[int, int]) -> dict[str, str]:
    """The activation behind each layer with kernels, a norm between them or not.

    Args:
        detector: an mmdet detector, or any module that takes one (1, 3, H, W) tensor.
        input_shape: (height, width) of the image in pixels.

    Returns:
        Names, the values of `NAMES`, by the layer's path; layers without one are left out, and so
        are activations that are functions and no modules.
    """
    written: dict[int, tuple[str, Tensor]] = {}  # the tensors stay, so that none takes their place
    found: dict[str, str] = {}
    layers = {path for path, _, _ in layers_of(detector)}

    def note(path: str, module: nn.Module, args: tuple, output: object) -> None:
        if not args or not isinstance(args[0], Tensor) or not isinstance(output, Tensor):
            return
        if path in layers:
            written[id(output)] = (path, output)
            return
        source = written.get(id(args[0]))
        if source is None:
            return
        name = NAMES.get(type(module).__name__)
        if name is not None:
            found.setdefault(source[0], name)
        elif kind_of(module) is not None:  # a norm
            written[id(output)] = (source[0], output)

    hooks = [
        module.register_forward_hook(lambda *a, path=path: note(path, *a))
        for path, module in _ends(detector)
    ]
    try:
        run_once(detector, input_shape)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _ends(detector: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules with kernels, and those without children."""
    layers = {path for path, _, _ in layers_of(detector)}
    for path, module in detector.named_modules():
        if path in layers or not list(module.children()):
            yield path, module
