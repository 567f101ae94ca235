"""Which consumers' rows can be written down: what lies under a kernel at a position."""

import os

import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup

# Matrices of second moments, float64, that are there at once: of every consumer, and while one of
# them is worked on.
HELD, WORKING = 3, 1


class UnsuitedGroupError(CompressionError):
    """A criterion or update cannot work on a group; another one can.

    Args:
        group: its name.
        reason: why.
    """

    def __init__(self, group: str, reason: str) -> None:
        self.group = group
        self.reason = reason
        super().__init__(
            f'{group}: {reason}. Leave the group out of pruning.layers, or use another criterion '
            'and update.'
        )


def check_rows(detector: nn.Module, group: ChannelGroup, who: str) -> None:
    """Check that the inputs of all of a group's consumers can be taken apart into rows.

    Args:
        detector: the dense detector.
        group: found on it.
        who: which criterion or update asks, and its key in the config.

    Raises:
        UnsuitedGroupError: one is neither a linear layer nor a 2-D convolution with zero padding.
    """
    for member in group.consumers:
        module = detector.get_submodule(member.path)
        known = isinstance(module, nn.Linear)
        if isinstance(module, nn.Conv2d):
            known = module.padding_mode == 'zeros' and not isinstance(module.padding, str)
        if not known:
            raise UnsuitedGroupError(
                group.name,
                f'{who} knows linear layers and convolutions with zero padding, '
                f'but {member.path} is {module}',
            )


def check_moments(detector: nn.Module, group: ChannelGroup, who: str) -> None:
    """Check that the second moments of all of a group's consumers can be held in memory.

    Args:
        detector: the dense detector.
        group: found on it.
        who: see `check_rows`.

    Raises:
        UnsuitedGroupError: see `check_rows`; or they cannot.
    """
    check_rows(detector, group, who)
    modules = {m.path: detector.get_submodule(m.path) for m in group.consumers}
    rows = {path: module.weight[0].numel() for path, module in modules.items()}
    largest = max(rows, key=rows.get)
    held = sum(getattr(modules[path], 'groups', 1) * n**2 for path, n in rows.items())
    squares = HELD * held + WORKING * rows[largest] ** 2
    if 8 * squares > (there := _memory(modules[largest].weight.device)):
        raise UnsuitedGroupError(
            group.name,
            f'{who} would take {8 * squares / 2**30:.0f} GiB for second moments, since {largest} '
            f'reads {rows[largest]} numbers at a time, and there are {there / 2**30:.0f} GiB',
        )


def _memory(device: torch.device) -> int:
    """Bytes of a device's memory, used ones included."""
    if device.type == 'cuda':
        return torch.cuda.mem_get_info(device)[1]
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
