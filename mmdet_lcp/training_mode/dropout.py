"""Dropout that is called as a function, by modules that must stay in train mode."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


def _argument(function: Callable, name: str) -> tuple[int, str, Any]:
    return list(inspect.signature(function).parameters).index(name), name, False


# With each function: where the argument stands that says how much is dropped, its name, and the
# value with which nothing is.
_FUNCTIONS: dict[Callable, tuple[int, str, Any]] = {
    **{
        function: _argument(function, 'training')
        for function in (
            F.dropout,
            F.dropout1d,
            F.dropout2d,
            F.dropout3d,
            F.alpha_dropout,
            F.feature_alpha_dropout,
            F.rrelu,
            F.multi_head_attention_forward,
        )
    },
    torch.dropout: (2, 'train', False),
    F.scaled_dot_product_attention: (4, 'dropout_p', 0.0),
}


class NoDropout(TorchFunctionMode):
    """While open, PyTorch's functions for dropout, and those that contain it, drop nothing."""

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Call a function of PyTorch, without dropout."""
        kwargs = kwargs or {}
        if function in _FUNCTIONS:
            position, name, value = _FUNCTIONS[function]
            if len(args) > position:
                args = (*args[:position], value, *args[position + 1 :])
            else:
                kwargs = {**kwargs, name: value}
        return function(*args, **kwargs)
