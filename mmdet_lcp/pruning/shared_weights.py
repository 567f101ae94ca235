"""Layers that share one tensor: why a group is left alone, where that is the reason."""

import dataclasses
from collections.abc import Sequence

from torch import nn

from mmdet_lcp.graph import ChannelGroup


def with_ties(detector: nn.Module, groups: Sequence[ChannelGroup]) -> list[ChannelGroup]:
    """The same groups, where obstacles also tell which of their layers share a tensor.

    A layer that is cut gets tensors of its own, so that those it shared them with are left out.

    Args:
        detector: the dense detector.
        groups: found on it.
    """
    owners: dict[int, list[str]] = {}
    for path, module in detector.named_modules():
        for value in module._parameters.values():
            if value is not None:
                owners.setdefault(id(value), []).append(path)
    shared = [paths for paths in owners.values() if len(paths) > 1]
    told = []
    for group in groups:
        members = {member.path for member in group.members}
        ties = dict.fromkeys(' and '.join(paths) for paths in shared if members & set(paths))
        if group.obstacle and ties:
            obstacle = f'{group.obstacle} ({", ".join(ties)} share one tensor)'
            group = dataclasses.replace(group, obstacle=obstacle)
        told.append(group)
    return told
