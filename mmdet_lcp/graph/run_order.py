"""In which order the layers of a detector run, and which of them make its predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.example import example_image
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.graph.layer_kinds import is_layer
from mmdet_lcp.modes import in_eval

# A multiple of the largest usual stride, 128, at which the last layer of SSD512 still has a map.
IMAGE_SIZE = (384, 384)


@dataclass(frozen=True)
class RunOrder:
    """What a forward pass shows.

    Attributes:
        modules: paths of the modules with parameters of their own, in the order of their first
            run.
        last: the convolutions and linear layers that no other one comes behind, and the outputs of
            each head of a cascade: the detector's predictions.
        norms: path of the batch norm by path of the layer whose output it reads.
    """

    modules: Sequence[str]
    last: frozenset[str]
    norms: dict[str, str]


def run_order(detector: nn.Module, image_size: tuple[int, int] = IMAGE_SIZE) -> RunOrder:
    """Run an empty image through a detector and look.

    The heads of a two-stage detector run on fixed regions, so that its RPN's outputs are
    predictions as well: nothing that is trained comes behind them.

    Args:
        detector: a plain mmdet detector; it is left as it is.
        image_size: (height, width) of the image in pixels.

    Raises:
        CompressionError: the detector does not run on such an image.
    """
    example = example_image(detector, image_size).requires_grad_()
    order: dict[str, None] = {}
    norms: dict[str, str] = {}
    made: dict[object, str] = {}  # a node of autograd's graph, by which layer
    read: list[object] = []
    final: set[object] = set()
    writers: dict[int, str] = {}
    kept: list[Tensor] = []  # alive, so that no two share an identity

    def before(module: nn.Module, args: tuple, path: str) -> None:
        order.setdefault(path)
        if not args or not isinstance(args[0], Tensor):
            return
        if is_layer(module):
            read.append(args[0].grad_fn)
        elif isinstance(module, _BatchNorm) and id(args[0]) in writers:
            norms.setdefault(writers[id(args[0])], path)

    def after(module: nn.Module, args: tuple, output: Tensor, path: str) -> Tensor | None:
        if not isinstance(output, Tensor) or not is_layer(module):
            return None
        # Of rows of tokens a linear layer gives a view, and what changes a view in place, such as
        # ReLU(inplace=True), takes the node that is noted here out of the graph.
        output = output.clone()
        made[output.grad_fn] = path
        writers[id(output)] = path
        kept.append(output)
        return output

    def returned(module: nn.Module, args: tuple, output: tuple) -> None:
        # The next head of a cascade reads the boxes of this one, but they are predictions.
        final.update(value.grad_fn for value in output if isinstance(value, Tensor))

    hooks = [
        module.register_forward_hook(returned)
        for module in detector.modules()
        if isinstance(module, BBoxHead)
    ]
    for path, module in detector.named_modules():
        if path and next(module.parameters(recurse=False), None) is not None:
            hooks += [
                module.register_forward_pre_hook(lambda m, a, path=path: before(m, a, path)),
                module.register_forward_hook(lambda m, a, o, path=path: after(m, a, o, path)),
            ]
    try:
        with in_eval(detector), torch.enable_grad():
            outputs = tensor_forward(detector, example)  # alive: the graph goes with it
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise CompressionError(
            f'{type(detector).__name__} does not run on an empty image of {image_size[0]}x'
            f'{image_size[1]} pixels: {error}'
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    behind = _ancestors(read)
    made.pop(None, None)
    last = {path for node, path in made.items() if node in final or node not in behind}
    # A layer that runs several times may feed others in one of its runs only.
    last -= {path for node, path in made.items() if node in behind and node not in final}
    del outputs
    return RunOrder(list(order), frozenset(last), norms)


def _ancestors(nodes: Sequence[object]) -> set[object]:
    """Nodes of autograd's graph that these have come from, themselves included."""
    found: set[object] = set()
    left = [node for node in nodes if node is not None]
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left += [before for before, _ in node.next_functions if before is not None]
    return found
