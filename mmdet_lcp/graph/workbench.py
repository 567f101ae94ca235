"""A detector that is masked or cut for a while, and put back: one copy for any number of plans."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from mmdet_lcp.graph.plan import Plan
from mmdet_lcp.graph.surgery import apply_plan, mask_plan


@contextmanager
def masked(detector: nn.Module, plan: Plan) -> Iterator[nn.Module]:
    """A detector with zeros in place of what a plan removes; afterwards it is as before.

    Only modules that the plan names get tensors of their own for so long.
    """
    with _put_back(detector, plan.modules):
        for module in _touched(detector, plan.modules):
            for table in (module._parameters, module._buffers):
                for name, tensor in table.items():
                    if isinstance(tensor, nn.Parameter):
                        own = tensor.detach().clone()
                        table[name] = nn.Parameter(own, requires_grad=tensor.requires_grad)
                    elif tensor is not None:
                        table[name] = tensor.clone()
        yield mask_plan(detector, plan)


@contextmanager
def cut(detector: nn.Module, plan: Plan) -> Iterator[nn.Module]:
    """A detector without what a plan removes; afterwards it is as before.

    Surgery gives layers new tensors: the old ones are kept and put back.
    """
    with _put_back(detector, plan.modules):
        yield apply_plan(detector, plan)


@contextmanager
def _put_back(detector: nn.Module, paths: Iterable[str]) -> Iterator[None]:
    """All attributes of some modules and of what is inside them, restored at the end."""
    modules = _touched(detector, paths)
    before = [(module, _attributes(module)) for module in modules]
    try:
        yield
    finally:
        for module, attributes in before:
            now = module.__dict__
            for name in now.keys() - attributes.keys():
                if 'hook' not in name:
                    del now[name]
            for name, (value, content) in attributes.items():
                now[name] = value
                if isinstance(value, dict):
                    value.clear()
                    value.update(content)
                elif isinstance(value, list):
                    value[:] = content


def _touched(detector: nn.Module, paths: Iterable[str]) -> list[nn.Module]:
    found: dict[nn.Module, None] = {}
    for path in paths:
        found.update(dict.fromkeys(detector.get_submodule(path).modules()))
    return list(found)


def _attributes(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Each attribute, and a copy of the lists and tables among them; hooks are left alone."""
    return {
        name: (value, copy.copy(value) if isinstance(value, (dict, list)) else None)
        for name, value in module.__dict__.items()
        if 'hook' not in name
    }
