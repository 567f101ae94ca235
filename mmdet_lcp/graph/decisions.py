"""Decisions of a forward pass: noted in one run, taken again in another.

Where a network chooses by its values (the best candidates, a threshold, an assignment, NMS), a
difference in the last bit may tip a choice, and all that comes after it differs. Integers and
booleans are what choices are made of.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


class OtherDecisionsError(RuntimeError):
    """The second run does not ask what the first one did."""


class Decisions(TorchDispatchMode):
    """Notes all integers and booleans that operations give, or hands out noted ones.

    Args:
        noted: of a run before, in its `noted`; ``None`` to note. Values of another shape than
            the noted ones are left as they are: they lie along channels.
    """

    def __init__(self, noted: list[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self.noted: list[tuple[str, Any]] = []
        self._left = None if noted is None else deque(noted)
        self._aside = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled in here: skip the import of the compiler, which takes seconds."""
        return False

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Operations that belong to no run."""
        self._aside = True
        try:
            yield
        finally:
            self._aside = False

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and note or replace what it decides."""
        out = func(*args, **(kwargs or {}))
        if self._aside or not _decides(func, args, out):
            return out
        name = func._schema.name
        if self._left is None:
            self.noted.append((name, tree_map_only(Tensor, _kept, out)))
            return out
        if not self._left or self._left[0][0] != name:
            raise OtherDecisionsError('runs other operations than with zeros')
        return _replaced(func, out, self._left.popleft()[1])


def _decides(func: Callable, args: tuple, out: Any) -> bool:
    """Whether an operation gives integers or booleans that follow from tensors."""
    leaves = tree_leaves(out)
    if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(args)):
        return False
    if any(isinstance(leaf, (bool, int, float)) for leaf in leaves):
        return True
    if any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns):
        return False  # a view: what it looks at has been replaced
    return any(_is_discrete(leaf) for leaf in leaves)


def _is_discrete(value: Any) -> bool:
    return isinstance(value, Tensor) and not (value.is_floating_point() or value.is_complex())


def _kept(value: Tensor) -> Tensor | None:
    return value.clone() if _is_discrete(value) else None


def _replaced(func: Callable, out: Any, noted: Any) -> Any:
    """An operation's output with the noted integers and booleans in place of its own."""
    writes = any(r.alias_info is not None for r in func._schema.returns)

    def pick(own: Any, other: Any) -> Any:
        if not isinstance(own, Tensor):
            return other if isinstance(own, (bool, int, float)) else own
        if other is None or other.shape != own.shape or other.dtype != own.dtype:
            return own
        return own.copy_(other) if writes else other.clone()

    if isinstance(out, (tuple, list)):
        return type(out)(pick(a, b) for a, b in zip(out, noted, strict=True))
    return pick(out, noted)


def without_decisions(values: Any) -> list[Tensor]:
    """The numbers in nested containers that are no decisions, in order; empty ones left out."""
    return [
        leaf
        for leaf in tree_leaves(values)
        if isinstance(leaf, Tensor) and leaf.numel() and torch.is_floating_point(leaf)
    ]
