"""Models in eval mode for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_eval(*models: nn.Module) -> Iterator[None]:
    """Put models into eval mode for a while; afterwards every module is as before."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    if any(mode for _, mode in modes):
        for model in models:
            model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluated(model: nn.Module) -> nn.Module:
    """The model, put into eval mode; ``model.eval()`` of some detectors returns nothing.

    mmdet's `KnowledgeDistillationSingleStageDetector.train`, which `eval` calls, is one of them.
    """
    model.eval()
    return model


def frozen(model: nn.Module) -> nn.Module:
    """The model, in eval mode and without gradients."""
    return evaluated(model).requires_grad_(False)
