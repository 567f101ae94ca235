"""Torch-Pruning's own pruner, run on a detector; what it leaves, as channels of our groups.

DepGraph: Towards Any Structural Pruning (Fang et al., CVPR 2023, arXiv 2301.12900). Its pruner
traces the detector, ranks all channels together and removes them in small steps until a budget is
met, as its own scripts do. Ours learns of it what is left of each layer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_lcp.comparison.peers.choice import (
    Choice,
    check_budget,
    check_same,
    loss_gradients,
    plan_of,
)
from mmdet_lcp.comparison.peers.packages import NAMES, package
from mmdet_lcp.copies import detached_copy
from mmdet_lcp.graph import ChannelGroup
from mmdet_lcp.graph.forward import is_two_stage, tensor_forward
from mmdet_lcp.selection.images import SelectionImages

MODULE = 'torch_pruning'
NAME = NAMES[MODULE]
IMPORTANCES = ('taylor', 'group_norm')
STEPS = 200  # until nothing would be left; the last one ends where the budget is met
_ROOTS = (nn.modules.conv._ConvNd, nn.Linear)  # layers that write channels of their own


def choose_channels(
    dense: nn.Module,
    groups: Sequence[ChannelGroup],
    batches: Sequence[SelectionImages],
    importance: str,
    budget: float,
    cost_of: Callable[[Sequence[int]], float],
    round_to: int | None = None,
    steps: int = STEPS,
) -> Choice:
    """Let Torch-Pruning prune a copy of a detector down to a budget.

    Args:
        dense: the trained detector; it stays as it is.
        groups: that may lose channels; all else keeps its channels.
        batches: training images, at least one; Taylor takes the loss's gradient over all of them.
        importance: one of `IMPORTANCES`.
        budget: that the pruned detector may cost.
        cost_of: what it costs with so many channels of each group.
        round_to: numbers of channels that it leaves are multiples of this.
        steps: that it takes until nothing would be left.

    Raises:
        CompressionError: the package is missing, or cannot meet the budget, or its detector is
            not the one that its channels make.
    """
    left_out: list[str] = []
    while True:
        allowed = [group for group in groups if group.name not in left_out]
        pruner = _Pruner(dense, allowed, batches, importance, round_to, steps)
        pruner.run(
            lambda keep: cost_of([len(keep.get(g.name, range(g.channels))) for g in groups]),
            budget,
        )
        odd = pruner.inexpressible()
        if not odd:
            break
        left_out += odd
    keep = pruner.kept_channels()
    counts = [len(keep.get(group.name, range(group.channels))) for group in groups]
    cost = cost_of(counts)
    check_budget(NAME, importance, cost, budget)
    plan = plan_of(dense, allowed, keep)
    difference = check_same(pruner.detector, dense, plan, batches[0], NAME)
    return Choice(keep, cost, left_out, difference)


class _Pruner:
    """One run of Torch-Pruning's pruner, and the channels of each layer that are still there."""

    def __init__(
        self,
        dense: nn.Module,
        groups: Sequence[ChannelGroup],
        batches: Sequence[SelectionImages],
        importance: str,
        round_to: int | None,
        steps: int,
    ) -> None:
        tp = package(MODULE)
        self._steps = steps
        self.groups = groups
        self.detector = detached_copy(dense).requires_grad_(True)
        paths = {member.path for group in groups for member in (*group.producers, *group.norms)}
        layers = dict(self.detector.named_modules())
        ignored = [m for p, m in layers.items() if isinstance(m, _ROOTS) and p not in paths]
        self._left = {
            layers[member.path]: torch.arange(_width(layers[member.path]))
            for group in groups
            for member in group.producers
        }
        self._path = {module: path for path, module in layers.items()}
        if importance == 'taylor':
            loss_gradients(self.detector, batches)
            scores = tp.importance.GroupTaylorImportance()
        else:
            scores = tp.importance.GroupMagnitudeImportance()
        first = batches[0].first()
        self._pruner = tp.pruner.BasePruner(
            self.detector,
            first.inputs,
            scores,
            global_pruning=True,
            pruning_ratio=1.0,
            iterative_steps=steps,
            ignored_layers=ignored,
            round_to=round_to,
            forward_fn=_traced,
        )

    def run(self, cost_of: Callable[[dict[str, list[int]]], float], budget: float) -> None:
        """Prune until the budget is met: the last step ends with the group that meets it."""
        for _ in range(self._steps):
            for group in self._pruner.step(interactive=True):
                self._note(group)
                group.prune()
                if cost_of(self.kept_channels()) <= budget:
                    return

    def _note(self, group: Any) -> None:
        for dependency, indices in group:
            module = dependency.target.module
            cuts_outputs = self._pruner.DG.is_out_channel_pruning_fn(dependency.handler)
            if cuts_outputs and module in self._left:
                stays = torch.ones(len(self._left[module]), dtype=torch.bool)
                stays[list(indices)] = False
                self._left[module] = self._left[module][stays]

    def kept_channels(self) -> dict[str, list[int]]:
        """Channels of our groups of which something is left, by the group's name."""
        left = {self._path[m]: set(index.tolist()) for m, index in self._left.items()}
        found = {}
        for group in self.groups:
            kept = set()
            for member in group.producers:
                pairs = zip(member.index, member.root, strict=True)
                kept |= {root for index, root in pairs if index in left[member.path]}
            found[group.name] = sorted(kept)
        return found

    def inexpressible(self) -> list[str]:
        """Groups some channel of which is gone in one place, and still there in another."""
        keep = self.kept_channels()
        odd = []
        for group in self.groups:
            for member in group.producers:
                module = self.detector.get_submodule(member.path)
                left = set(self._left[module].tolist())
                own = set(member.index)
                if own & left != set(member.map(keep[group.name])):
                    odd.append(group.name)
                    break
        return odd


def _traced(detector: nn.Module, inputs: Tensor) -> Any:
    """The pass that Torch-Pruning follows.

    It takes minutes to follow channels through the regions of a two-stage detector, where they are
    cut out and put together by index. Heads see the whole feature maps here, at the size of a
    region: the same layers read the same channels.
    """
    if not is_two_stage(detector):
        return tensor_forward(detector, inputs)
    maps = detector.extract_feat(inputs)
    outputs = [detector.rpn_head(maps)] if detector.with_rpn else []
    head = detector.roi_head
    for kind in ('bbox', 'mask'):
        if getattr(head, f'with_{kind}', False):
            extractors, heads = (
                getattr(head, f'{kind}_{part}') for part in ('roi_extractor', 'head')
            )
            for extractor, own in zip(_each(extractors), _each(heads), strict=True):
                outputs.append(own(_pooled(head, extractor, maps)))
    return outputs


def _pooled(head: nn.Module, extractor: nn.Module, maps: Sequence[Tensor]) -> Tensor:
    size = extractor.roi_layers[0].output_size
    levels = maps[: extractor.num_inputs]
    pooled = sum(nn.functional.adaptive_avg_pool2d(level, size) for level in levels)
    return head.shared_head(pooled) if head.with_shared_head else pooled


def _each(modules: Any) -> Sequence[nn.Module]:
    return list(modules) if isinstance(modules, nn.ModuleList) else [modules]


def _width(module: nn.Module) -> int:
    return module.out_features if isinstance(module, nn.Linear) else module.out_channels
