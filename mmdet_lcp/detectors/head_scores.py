"""How a head's class scores are meant."""

from torch import nn


def has_sigmoid(head: nn.Module, unless_told: bool) -> bool:
    """Whether each class has a sigmoid of its own; else they compete in a softmax.

    Args:
        head: of mmdet: it says so itself, or its classification loss does.
        unless_told: the answer where neither does.
    """
    own = getattr(head, 'use_sigmoid_cls', None)
    if own is None:
        own = getattr(getattr(head, 'loss_cls', None), 'use_sigmoid', unless_told)
    return bool(own)


def writes_probabilities(head: nn.Module) -> bool:
    """Whether the scores have been through their sigmoid already (TOOD)."""
    return bool(getattr(getattr(head, 'loss_cls', None), 'activated', False))
