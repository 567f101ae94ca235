"""Which batch norm reads a convolution's output directly: it can take up a shift of it."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet_lcp.graph.example import example_image
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.graph.layer_kinds import is_layer
from mmdet_lcp.modes import in_eval


def following_norms(detector: nn.Module, image_size: tuple[int, int]) -> dict[str, str]:
    """Find, for each layer, the batch norm whose input is that layer's output, unchanged.

    Args:
        detector: a plain mmdet detector; it is left as it is.
        image_size: (height, width) of the image that is run through, in pixels.

    Returns:
        Path of the norm by path of the convolution or linear layer. A layer that runs several
        times (a shared head), or whose output something else reads too, is left out.
    """
    example = example_image(detector, image_size)
    writers: dict[int, str] = {}
    outputs: list[Tensor] = []  # kept alive, so that no two share an identity
    runs: dict[str, int] = {}
    found: dict[str, str] = {}

    def note_output(path: str, output: Tensor) -> None:
        runs[path] = runs.get(path, 0) + 1
        writers[id(output)] = path
        outputs.append(output)

    def note_input(path: str, args: tuple) -> None:
        if args and id(args[0]) in writers:
            found[writers[id(args[0])]] = path

    hooks = []
    for path, module in detector.named_modules():
        if is_layer(module):
            hooks.append(
                module.register_forward_hook(lambda *a, path=path: note_output(path, a[2]))
            )
        elif isinstance(module, _BatchNorm) and module.track_running_stats:
            hooks.append(
                module.register_forward_pre_hook(lambda *a, path=path: note_input(path, a[1]))
            )
    try:
        with in_eval(detector), torch.no_grad():
            tensor_forward(detector, example)
    finally:
        for hook in hooks:
            hook.remove()
    return {path: norm for path, norm in found.items() if runs[path] == 1}
