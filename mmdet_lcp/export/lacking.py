"""Which module uses an operator that ONNX lacks: torch's errors name the operator alone."""

import re
import warnings

import torch
from torch import Tensor, nn


def users_of(error: Exception, module: nn.Module, example: Tensor) -> list[str]:
    """Modules that use the operator that an error of the exporter names.

    Args:
        error: torch's.
        module: what was exported.
        example: what it is traced with.

    Returns:
        ``'neck.1 (BFP)'`` and the like, each once, in the order of execution; empty where the
        error names no operator of torch, or the trace has no such operator.
    """
    named = re.search(r"operator '(aten::\w+)'", str(error))
    if not named:
        return []
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')
        traced = torch.jit.trace(module, example, check_trace=False, strict=False)
    graph = traced.inlined_graph  # its nodes live as long as it does
    scopes = [node.scopeName() for node in graph.findAllNodes(named[1])]
    paths = [scope.rpartition('/')[2].removeprefix('__module.') for scope in scopes]
    return list(dict.fromkeys(_named(path, module) for path in paths if path))


def _named(path: str, module: nn.Module) -> str:
    """With the class; below `detector` the path is as in the detector itself."""
    return f'{path.removeprefix("detector.")} ({type(module.get_submodule(path)).__name__})'
