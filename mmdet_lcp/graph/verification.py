"""Try groups out on a detector: removing their channels must compute what zeroing them does.

A trace follows what an operation does to channels, not what a forward pass does with numbers of
its own: a reshape by a count of channels that was written down when the detector was built, or a
mean over what had to be a sum.
"""

import copy
import dataclasses
from collections import Counter
from collections.abc import Sequence
from math import gcd

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmdet_lcp.graph.example import example_image
from mmdet_lcp.graph.forward import default_regions, tensor_forward
from mmdet_lcp.graph.groups import ChannelGroup
from mmdet_lcp.graph.plan import Plan
from mmdet_lcp.graph.regions import Regions, noted_rois
from mmdet_lcp.graph.surgery import apply_plan, axis_sizes, mask_plan
from mmdet_lcp.modes import in_eval

# Relative to an output's largest value. What rounding leaves in single precision is far below, a
# wrong channel far above.
TOLERANCE = 1e-2


def tried(
    detector: nn.Module, groups: Sequence[ChannelGroup], image_size: tuple[int, int]
) -> list[ChannelGroup]:
    """The same groups, with an obstacle for each that cannot be pruned as the trace says.

    Channels of all groups are removed at once, in copies of the detector, on one image of noise:
    half of each group first, then a share of its own of each, as a ratio by layer does. Only if
    that goes wrong, groups are tried in halves, and so on.

    Args:
        detector: a plain mmdet detector; it is left as it is.
        groups: found on it.
        image_size: (height, width) of the image, in pixels.
    """
    image = example_image(detector, image_size, torch.Generator().manual_seed(0))
    open_ = [group for group in groups if group.obstacle is None]
    wrong = _wrong(detector, open_, image)
    return [
        dataclasses.replace(group, obstacle=wrong[group.name]) if group.name in wrong else group
        for group in groups
    ]


def _wrong(detector: nn.Module, groups: Sequence[ChannelGroup], image: Tensor) -> dict[str, str]:
    """Groups that go wrong, by name, and how."""
    problem = _problem(detector, groups, image) if groups else None
    if problem is None:
        return {}
    if len(groups) == 1:
        return {groups[0].name: problem}
    half = len(groups) // 2
    found = {
        **_wrong(detector, groups[:half], image),
        **_wrong(detector, groups[half:], image),
    }
    # Each half alone is right: what they do together is left to the first.
    return found or {group.name: problem for group in groups[half:]}


def _problem(detector: nn.Module, groups: Sequence[ChannelGroup], image: Tensor) -> str | None:
    """What is wrong with removing channels of these groups, or ``None``."""
    halves = [group.channels // 2 for group in groups]
    problem = _difference(detector, groups, halves, image)
    if problem is not None:
        return f'without half of its channels the detector {problem}'
    shares = _unequal([group.channels for group in groups])
    problem = _difference(detector, groups, shares, image) if shares != halves else None
    if problem is not None and len(groups) > 1:
        return f'where it loses another share of its channels than others, the detector {problem}'
    return problem and f'without some of its channels the detector {problem}'


def _unequal(sizes: Sequence[int]) -> list[int]:
    """How many channels of each group go, from none to all but one.

    Groups that a forward pass takes for equal parts of one map have as many channels. So among
    those with n channels, any n in a row lose different numbers of them.
    """
    turns: Counter[int] = Counter()
    counts = []
    for size in sizes:
        turns[size] += 1
        # Near the golden ratio, so that neighbours lie far apart; prime to the size, so that
        # every number has its turn.
        step = next(s for s in range(round(0.618 * size) or 1, size + 1) if gcd(s, size) == 1)
        counts.append(turns[size] * step % size)
    return counts


def _difference(
    detector: nn.Module, groups: Sequence[ChannelGroup], counts: Sequence[int], image: Tensor
) -> str | None:
    """What the detector does without so many channels of each group, if it is wrong."""
    totals, plan = axis_sizes(detector, groups), Plan()
    # At random: what is evenly spread may be right by luck, where a forward pass halves its maps.
    draw = torch.Generator().manual_seed(0)
    for group, count in zip(groups, counts, strict=True):
        order = torch.randperm(group.channels, generator=draw)
        plan = plan.remove(group, order[:count].tolist(), totals)
    regions = default_regions(image)
    masked = mask_plan(copy.deepcopy(detector), plan)
    with noted_rois(masked) as rois:
        expected = _outputs(masked, image, regions)
    try:  # on the same regions: rounding may tip a cascade over to others
        pruned = apply_plan(copy.deepcopy(detector), plan)
        found = _outputs(pruned, image, Regions(regions.proposals, rois))
    except Exception as error:  # a forward pass of someone else's may fail in any way
        return f'fails: {error}'
    for one, two in zip(expected, found, strict=True):
        scale = one.abs().max().clamp(min=torch.finfo(one.dtype).tiny)
        # A comparison with nan is false: an untrained detector may overflow, which shows nothing.
        if one.shape != two.shape or (one - two).abs().max() > TOLERANCE * scale:
            return 'computes something else than zeros do'
    return None


@torch.no_grad()
def _outputs(detector: nn.Module, image: Tensor, regions: Regions) -> list[Tensor]:
    with in_eval(detector):
        found = tree_leaves(tensor_forward(detector, image, regions=regions))
    return [leaf for leaf in found if isinstance(leaf, Tensor) and leaf.numel()]
