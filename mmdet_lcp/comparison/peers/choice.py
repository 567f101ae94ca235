"""What a peer leaves, as channels of our groups, checked against the peer's own detector."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor
from torch import nn

from mmdet_lcp.copies import detached_copy
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup, Plan, apply_plan, axis_sizes
from mmdet_lcp.modes import in_eval
from mmdet_lcp.nested import tensors_in
from mmdet_lcp.selection.images import SelectionImages, detection_loss

SAME = 1e-5  # of the largest output: two detectors with the same channels


@dataclass
class Choice:
    """What a peer leaves.

    Attributes:
        keep: channels that stay, ascending, by the group's name.
        cost: what its detector costs, as `cost_of` counts.
        left_out: names of groups that it was kept from, since it ties their channels differently.
        difference: of its detector's outputs and our pruned detector's, the largest, relative to
            the largest output.
    """

    keep: dict[str, list[int]]
    cost: float
    left_out: list[str] = field(default_factory=list)
    difference: float = 0.0


def plan_of(dense: nn.Module, groups: Sequence[ChannelGroup], keep: dict[str, list[int]]) -> Plan:
    """The plan that leaves these channels of each group, and all of those that are not there."""
    plan, totals = Plan(), axis_sizes(dense, groups)
    for group in groups:
        gone = sorted({*range(group.channels)} - {*keep.get(group.name, range(group.channels))})
        if gone:
            plan = plan.remove(group, gone, totals)
    return plan


def check_budget(name: str, importance: str, cost: float, budget: float) -> None:
    """Refuse a choice that costs more than it may: there was nothing more to remove.

    Raises:
        CompressionError: it does.
    """
    if cost > budget:
        raise CompressionError(
            f'{name} ({importance}) has nothing more to remove at {cost / budget:.3f} of the '
            'budget: ask for more, or let pruning.layers take in more groups'
        )


def check_same(
    peer: nn.Module, dense: nn.Module, plan: Plan, batch: SelectionImages, name: str
) -> float:
    """How far a peer's detector is from the one that its channels make.

    Args:
        peer: what it has made of a copy of the dense detector.
        dense: the detector before.
        plan: of the channels that the peer has left.
        batch: an image of it is looked at.
        name: the peer's.

    Returns:
        The largest difference of their outputs, relative to the largest output.

    Raises:
        CompressionError: they are not the same.
    """
    difference = _difference(peer, apply_plan(detached_copy(dense), plan), batch)
    if difference > SAME:
        raise CompressionError(
            f"{name}'s detector and the one with the same channels differ by "
            f'{difference:.2g} of the largest output on an image: it has changed more than its '
            'channels'
        )
    return difference


def loss_gradients(detector: nn.Module, batches: Sequence[SelectionImages]) -> None:
    """Leave the gradient of the loss over all images in the parameters; 0 where none flows."""
    with in_eval(detector):
        for batch in batches:
            detection_loss(detector, batch).backward()
    for parameter in detector.parameters():  # of losses that skip it
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def _difference(one: nn.Module, other: nn.Module, batch: SelectionImages) -> float:
    """Of the peer's detector and ours, on an image, relative to the largest output."""
    for path, module in one.named_modules():
        if isinstance(module, BaseRoIExtractor):  # counts channels itself, as no peer knows
            module.out_channels = other.get_submodule(path).out_channels
    with torch.no_grad(), in_eval(one), in_eval(other):
        first = batch.first()
        pairs = list(zip(tensors_in(first.run(one)), tensors_in(first.run(other)), strict=True))
    largest = max(float(b.abs().max()) for _, b in pairs if b.numel())
    apart = max(float((a - b).abs().max()) for a, b in pairs if b.numel())
    return apart / max(largest, torch.finfo(torch.float32).tiny)
