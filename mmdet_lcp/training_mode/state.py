"""What modules remember besides their parameters, put aside for a while.

A training step changes more than gradients: GHM, Seesaw and EQL v2 count in buffers or tensors,
DDOD in an array, Dynamic R-CNN in lists, and it moves thresholds of its assigners.
"""

import copy
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import Any

import numpy as np
from torch import Tensor, nn

_OF_TORCH = frozenset(vars(nn.Module()))
_REGISTERED = ('_parameters', '_buffers', '_modules')
_AS_THEY_ARE = (type(None), str, bytes, int, float, complex, type, FunctionType, MethodType)
_FOREIGN = ('torch', 'mmengine', 'logging')  # objects of these are not a head's own state


def all_modules(model: nn.Module) -> list[nn.Module]:
    """A model's modules, and those in their plain attributes, where some detectors hide a teacher.

    Args:
        model: comes first.
    """
    found: dict[int, nn.Module] = {}
    waiting = [model]
    while waiting:
        for module in waiting.pop().modules():
            if id(module) not in found:
                found[id(module)] = module
                for _, value in _attributes(module):
                    values = value if isinstance(value, (list, tuple)) else [value]
                    waiting.extend(v for v in values if isinstance(v, nn.Module))
    return list(found.values())


@contextmanager
def state_put_aside(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Let modules work on copies of their buffers and plain attributes.

    Afterwards they have their own again, the very same objects, as these were, and the same
    submodules: DDQ gives its decoder some. Parameters, hooks and modes stay where they are. An
    object that several modules share is copied once: they share the copy. What cannot be copied
    is not.

    Args:
        modules: each listed once; what is no module, such as an assigner, comes along with them.
    """
    own = [
        (module, dict(_attributes(module)), [dict(getattr(module, key)) for key in _REGISTERED])
        for module in modules
    ]
    copies = _Copies()
    try:
        for module, attributes, _ in own:
            module.__dict__.update({key: copies.of(value) for key, value in attributes.items()})
            buffers = module._buffers
            buffers.update({key: copies.of(value) for key, value in buffers.items()})
        yield
    finally:
        for module, attributes, registered in own:
            for key, _ in _attributes(module):
                if key not in attributes:
                    del module.__dict__[key]
            module.__dict__.update(attributes)
            for key, before in zip(_REGISTERED, registered, strict=True):
                getattr(module, key).clear()
                getattr(module, key).update(before)


def _attributes(module: nn.Module) -> list[tuple[str, Any]]:
    """What a module has in its `__dict__` that is not PyTorch's own."""
    return [(key, value) for key, value in vars(module).items() if key not in _OF_TORCH]


class _Copies:
    """Copies of anything, each made once."""

    def __init__(self) -> None:
        self._known: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        """The copy of a value; the value itself where nothing in it can change."""
        if isinstance(value, (*_AS_THEY_ARE, nn.Module)):
            return value
        if id(value) not in self._known:
            self._known[id(value)] = value  # for circles
            self._known[id(value)] = self._copy(value)
        return self._known[id(value)]

    def _copy(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value if value.requires_grad else value.clone()
        if isinstance(value, np.ndarray):
            return value.copy()
        if isinstance(value, tuple):
            items = [self.of(item) for item in value]
            if all(a is b for a, b in zip(items, value, strict=True)):
                return value
            return type(value)(*items) if hasattr(value, '_fields') else tuple(items)
        if isinstance(value, (list, dict, set, deque)) or self._has_state(value):
            return self._refilled(value)
        return value

    def _has_state(self, value: Any) -> bool:
        return hasattr(value, '__dict__') and not type(value).__module__.startswith(_FOREIGN)

    def _refilled(self, value: Any) -> Any:
        """A shallow copy in which whatever can change is a copy too."""
        try:
            twin = copy.copy(value)
        except Exception:  # somebody's own class may refuse in any way
            return value
        if twin is value:  # one of which there is but one
            return value
        self._known[id(value)] = twin
        if isinstance(twin, (list, deque)):
            for number, item in enumerate(twin):
                twin[number] = self.of(item)
        elif isinstance(twin, dict):
            for key in list(dict.keys(twin)):
                dict.__setitem__(twin, key, self.of(dict.__getitem__(twin, key)))
        if hasattr(twin, '__dict__'):
            vars(twin).update({key: self.of(item) for key, item in vars(twin).items()})
        return twin
