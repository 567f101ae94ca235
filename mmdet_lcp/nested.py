"""Tensors in what modules are given and give: nested lists, tuples and dicts of them."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only


def tensors_in(values: Any) -> list[Tensor]:
    """All tensors in nested containers."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def with_tensors(values: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same containers, with something else in the place of each tensor."""
    return tree_map_only(Tensor, change, values)
