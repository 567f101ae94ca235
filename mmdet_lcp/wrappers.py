"""The model inside what several ranks train."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside mmengine's wrapper for several ranks, or itself without one."""
    return model.module if is_model_wrapper(model) else model
