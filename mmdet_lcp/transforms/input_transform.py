"""Change what a layer reads: a small module in front of it, attached by the layer's path.

An input transform is part of the network by definition: it cannot be folded away. It is a child of
the layer (``LAYER.input_transform.*`` in the state dict) and runs in the layer's own hooks, which
find it through the layer, so copies, checkpoints and wrappers for several ranks carry it along.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.registry import TRANSFORMS

CHILD = 'input_transform'


class InputTransform(nn.Module, ABC):
    """In front of a convolution or a linear layer."""

    kept: Tensor | None = None  # from `forward` to `after`

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the layer reads instead of ``x``, and what `after` needs."""

    def after(self, layer: nn.Module, output: Tensor, kept: Tensor | None) -> Tensor:
        """What the layer gives instead of ``output``; `kept` is what `forward` has returned."""
        return output

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Plain data that `from_spec` needs beside the tensors of the state dict."""

    def spec(self) -> dict[str, Any]:
        """Plain data: ``type`` in `TRANSFORMS`, and the settings."""
        return {'type': type(self).__name__, **self.settings()}

    @classmethod
    @abstractmethod
    def for_layer(cls, layer: nn.Module, **settings: Any) -> 'InputTransform':
        """One that fits a layer.

        Raises:
            CompressionError: it cannot stand in front of such a layer, or a setting is wrong.
        """


def attach_input(layer: nn.Module, transform: InputTransform) -> None:
    """Let a layer read its input through a transform from now on.

    Raises:
        CompressionError: it has one already.
    """
    if hasattr(layer, CHILD):
        raise CompressionError(f'{type(layer).__name__} has an input transform already')
    layer.add_module(CHILD, transform)
    layer.register_forward_pre_hook(_before)
    layer.register_forward_hook(_after)


def input_transforms(model: nn.Module) -> dict[str, InputTransform]:
    """The input transforms of a model, by the path of their layer."""
    found = {}
    for path, module in model.named_modules():
        child = module._modules.get(CHILD)
        if isinstance(child, InputTransform):
            found[path] = child
    return found


def rebuild_inputs(model: nn.Module, specs: Mapping[str, Mapping[str, Any]]) -> None:
    """Attach input transforms as they were, their tensors still to be loaded.

    Args:
        model: without them, changed in place.
        specs: `InputTransform.spec` by the path of the layer.

    Raises:
        CompressionError: a path or a spec does not fit the model.
    """
    for path, spec in specs.items():
        try:
            layer = model.get_submodule(path)
        except AttributeError as error:
            raise CompressionError(f'the detector has no layer {path!r}') from error
        given = dict(spec)
        kind = TRANSFORMS.module_dict.get(given.pop('type', None))
        if kind is None or not issubclass(kind, InputTransform):
            raise CompressionError(f'{path}: {spec!r} is no input transform')
        try:
            transform = kind.for_layer(layer, **given)
        except (TypeError, CompressionError) as error:
            raise CompressionError(f'{path}: {error}') from error
        device = next((value.device for value in layer.parameters()), None)
        attach_input(layer, transform.to(device))


def _before(layer: nn.Module, args: tuple) -> tuple:
    transform = layer.input_transform
    x, transform.kept = transform(args[0])
    return (x, *args[1:])


def _after(layer: nn.Module, args: tuple, output: Tensor) -> Tensor:
    transform = layer.input_transform
    kept, transform.kept = transform.kept, None  # a tensor with a graph could not be copied
    return transform.after(layer, output, kept)
