"""What runs before some layers gives the same while only their kernels change: run it once."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Upstream:
    """Outputs of the modules that a forward pass ends before the first of some layers begins.

    Attributes:
        outputs: by module, one entry a run; of a module inside another one that is here, nothing.
        written: those of the modules whose outputs somebody changes in place later on.
        layers: those that will change, in the order in which they began, one entry a run.
    """

    outputs: dict[nn.Module, list[Any]]
    written: frozenset[nn.Module] = frozenset()
    layers: tuple[nn.Module, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(
            tensor.numel() * tensor.element_size()
            for runs in self.outputs.values()
            for tensor in tensors_in(runs)
        )

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """While open, the modules give what they have given, without running.

        Open it anew for each forward pass.
        """
        with ExitStack() as stack:
            for module, runs in self.outputs.items():
                left = map(copied, runs) if module in self.written else iter(runs)
                # An attribute of the object hides its class's method.
                module.forward = lambda *_, left=left, **__: next(left)
                stack.callback(delattr, module, 'forward')
            yield


@torch.no_grad()
def record_upstream(
    model: nn.Module, run: Callable[[], Any], layers: Collection[nn.Module]
) -> Upstream:
    """Run a model once and keep what comes before some of its layers.

    Args:
        model: in eval mode; it has to do the same in each forward pass.
        run: called without arguments; runs the model, completely or not.
        layers: modules of it whose weights will change.

    Returns:
        Nothing that runs again once a layer has begun is in it, and nothing that changes what it
        reads: others may read that too.
    """
    layers = set(layers)
    outputs: dict[nn.Module, list[Any]] = {}
    given: list[tuple[nn.Module, Tensor, int]] = []  # outputs and their versions
    read: list[list[tuple[Tensor, int]]] = []  # the same of the inputs of what is running
    inside = {module: list(module.modules())[1:] for module in model.modules()}
    began: list[nn.Module] = []

    def before(module: nn.Module, args: tuple, kwargs: dict) -> None:
        if module in layers:
            began.append(module)
        if began:
            outputs.pop(module, None)
        read.append([(tensor, tensor._version) for tensor in tensors_in((args, kwargs))])

    def after(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        if any(tensor._version != version for tensor, version in read.pop()) or began:
            return
        for part in inside[module]:
            outputs.pop(part, None)
        outputs.setdefault(module, []).append(copied(output))
        given.extend((module, tensor, tensor._version) for tensor in tensors_in(output))

    with ExitStack() as stack:
        for module in inside:
            for hook in (
                module.register_forward_pre_hook(before, with_kwargs=True),
                module.register_forward_hook(after, with_kwargs=True),
            ):
                stack.callback(hook.remove)
        run()
    written = {module for module, tensor, version in given if tensor._version != version}
    return Upstream(outputs, frozenset(written & outputs.keys()), tuple(began))


def copied(value: Any) -> Any:
    """Copies of all tensors in what a module has given."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, (list, tuple)):
        return type(value)(copied(item) for item in value)
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return value


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)
