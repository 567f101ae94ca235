"""Copies of models that have just been trained, with what a training step has left in them.

PyTorch copies no tensor that others have been computed to, and some heads of mmdet keep such ones
between their parts: CondInst's outputs of the last step, DDQ's of its dense queries.
"""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.overrides import TorchFunctionMode

Module = TypeVar('Module', bound=nn.Module)
# They keep a layer's weight as a tensor that is computed from others: a copy would be cut off.
_COMPUTING = (SpectralNorm, WeightNorm)


def detached_copy(model: Module) -> Module:
    """A deep copy; tensors with a graph that modules remember are in it without their graph.

    Args:
        model: a detector or any other module; it stays as it is.

    Raises:
        RuntimeError: a layer's weight is computed by ``torch.nn.utils.weight_norm`` or
            ``spectral_norm``; those of ``torch.nn.utils.parametrizations`` can be copied.
    """
    hooks = (hook for m in model.modules() for hook in m._forward_pre_hooks.values())
    if any(isinstance(hook, _COMPUTING) for hook in hooks):
        return copy.deepcopy(model)  # which raises
    with _Detaching():
        return copy.deepcopy(model)


class _Detaching(TorchFunctionMode):
    """While open, a copy of a tensor that has been computed from others is cut off from them."""

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Call a function of PyTorch."""
        if function is Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, known = args
            known[id(tensor)] = tensor.detach().clone()
            return known[id(tensor)]
        return function(*args, **(kwargs or {}))
