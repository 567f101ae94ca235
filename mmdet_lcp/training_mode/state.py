"""What modules remember besides their parameters, put aside for a while.

A training step changes more than gradients: GHM, Seesaw and EQL v2 count in buffers or tensors,
DDOD in an array, Dynamic R-CNN in lists, and it moves thresholds of its assigners.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor, nn

_OF_TORCH = frozenset(vars(nn.Module()))
_REGISTERED = ('_parameters', '_buffers', '_modules')
_AS_THEY_ARE = (
    type(None), str, bytes, int, float, complex, type, FunctionType, MethodType, ModuleType,
)  # fmt: skip
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
    """Let modules change what they remember; afterwards all is as before.

    That is their buffers, their plain attributes and what these hold, such as an assigner, and
    their submodules: DDQ gives its decoder some. Meanwhile they have copies of their tensors and
    arrays; every other object stays the same one, for others may listen to it. Parameters, hooks
    and modes are left alone.

    Args:
        modules: each listed once.
    """
    held = _Held()
    own = [
        (module, dict(_attributes(module)), [dict(getattr(module, key)) for key in _REGISTERED])
        for module in modules
    ]
    try:
        for module, attributes, _ in own:
            module.__dict__.update({key: held.put(value) for key, value in attributes.items()})
            buffers = module._buffers
            buffers.update({key: held.put(value) for key, value in buffers.items()})
        yield
    finally:
        held.restore()
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


class _Held:
    """The contents of containers and objects, with copies of the tensors and arrays in them."""

    def __init__(self) -> None:
        self._known: dict[int, Any] = {}
        self._contents: list[tuple[Any, Any]] = []

    def put(self, value: Any) -> Any:
        """Note what a value contains; returns what takes its place, mostly the value itself."""
        if isinstance(value, (*_AS_THEY_ARE, nn.Module)):
            return value
        if id(value) not in self._known:
            self._known[id(value)] = value  # for circles
            self._known[id(value)] = self._put(value)
        return self._known[id(value)]

    def restore(self) -> None:
        """Give all containers and objects their contents back, in place."""
        for value, contents in self._contents:
            if isinstance(value, list):
                value[:] = contents
            elif isinstance(value, dict):
                known = [*dict.items(value)]
                if len(known) != len(contents) or any(
                    key is not other or item is not before
                    for (key, item), (other, before) in zip(known, contents, strict=True)
                ):
                    kind = OrderedDict if isinstance(value, OrderedDict) else dict
                    kind.clear(value)
                    kind.update(value, contents)
            else:  # a set or a deque
                value.clear()
                (value.update if isinstance(value, set) else value.extend)(contents)

    def _put(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return value if value.requires_grad else value.clone()
        if isinstance(value, np.ndarray):
            return value.copy()
        if isinstance(value, tuple):
            items = [self.put(item) for item in value]
            if all(a is b for a, b in zip(items, value, strict=True)):
                return value
            return type(value)(*items) if hasattr(value, '_fields') else tuple(items)
        if isinstance(value, (list, deque)):
            self._contents.append((value, list(value)))
            for number, item in enumerate(value):
                value[number] = self.put(item)
        elif isinstance(value, set):
            self._contents.append((value, set(value)))
        elif isinstance(value, dict):
            self._entries(value)
        if hasattr(value, '__dict__') and not type(value).__module__.startswith(_FOREIGN):
            self._entries(vars(value))
        return value

    def _entries(self, value: dict) -> None:
        contents = [*dict.items(value)]
        self._contents.append((value, contents))
        for key, item in contents:
            other = self.put(item)
            if other is not item:
                dict.__setitem__(value, key, other)
