"""What the steps of a trial share: half of the channels go, and outputs are compared.

Removed channels have to compute what zeroed ones do, in double precision where that can be had.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_leaves

from mmdet_lcp.copies import detached_copy
from mmdet_lcp.coverage.detectors import SupportedDetector
from mmdet_lcp.coverage.facts import TrialFacts
from mmdet_lcp.coverage.synthetic import synthetic_batch
from mmdet_lcp.graph import ChannelGroup, Plan, apply_plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.graph.decisions import Decisions, OtherDecisionsError
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.graph.layer_kinds import kind_of
from mmdet_lcp.modes import in_eval
from mmdet_lcp.seeds import seeded
from mmdet_lcp.selection.images import SelectionImages

RATIO = 0.5
TOLERANCE = 1e-5
SINGLE_TOLERANCE = 1e-3  # of detectors that compute in single precision alone
# Modules that do in training what is no part of a detector's loss; DropPath and the like as well.
AT_REST = (_NormBase, _DropoutNd, nn.MultiheadAttention)


class Bench:
    """Prunes and compares detectors of one kind, and notes how much they differ.

    Args:
        spec: which detector.
        facts: take the differences, and where single precision or others' choices were needed.
    """

    def __init__(self, spec: SupportedDetector, facts: TrialFacts) -> None:
        self.spec = spec
        self.facts = facts

    def find(self, detector: nn.Module) -> list[ChannelGroup]:
        """The groups of a detector, at the size that it is tried at."""
        return find_groups(detector, (self.spec.size, self.spec.size))

    def prune(
        self, detector: nn.Module, groups: Sequence[ChannelGroup], step: str
    ) -> tuple[nn.Module, Plan]:
        """A copy without half of its channels, and the plan; compared with zeroed ones."""
        plan = halved(detector, groups)
        pruned = apply_plan(detached_copy(detector), plan)
        self.alike(step, mask_plan(detached_copy(detector), plan), pruned, self.outputs_of)
        return pruned, plan

    def alike(
        self,
        step: str,
        masked: nn.Module,
        pruned: nn.Module,
        run: Callable[[nn.Module], list[Tensor]],
    ) -> None:
        """See that a detector without channels gives what the one with zeros does.

        Where it does not, it is asked once more to choose what the other has chosen (the best
        candidates, NMS, an assignment), which the last bit of a score may tip.
        """
        pair = masked, pruned

        def outputs(dtype: torch.dtype) -> list[list[Tensor]]:
            return [run(cast(detached_copy(detector), dtype)) for detector in pair]

        def chosen_alike(dtype: torch.dtype) -> list[list[Tensor]]:
            copies = [cast(detached_copy(detector), dtype) for detector in pair]
            with Decisions() as decisions:
                expected = run(copies[0])
            with Decisions(decisions.noted):
                return [expected, run(copies[1])]

        expected, found = self.in_double(step, outputs)
        if not largest_difference(found, expected) <= self.most(step):
            try:
                again = self.in_double(step, chosen_alike)
            except OtherDecisionsError:
                pass  # what differs lies elsewhere
            else:
                expected, found = again
                self.facts.chosen.append(step)
        self.differ(step, found, expected)

    def compare(self, step: str, one: nn.Module, two: nn.Module) -> None:
        """See that two detectors have the same outputs."""
        self.differ(step, self.outputs_of(one), self.outputs_of(two))

    @torch.no_grad()
    def outputs_of(self, detector: nn.Module) -> list[Tensor]:
        """Of its forward pass on a noise image, in the precision of its weights."""
        images, _ = synthetic_batch(1, self.spec.size, detector, seed=1)
        with seeded(0):
            images = images.to(next(detector.parameters()).dtype)
            return tensors(tensor_forward(detector, images))

    def in_double(self, step: str, work: Callable[[torch.dtype], Any]) -> Any:
        """Let something be computed in double precision, or where that fails, in single.

        Attention mixes in masks of single precision, say. What fails in both is told.
        """
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.double)
        try:
            return work(torch.double)
        except Exception:  # of a forward pass of somebody else's
            if step not in self.facts.single:
                self.facts.single.append(step)
        finally:
            torch.set_default_dtype(usual)
        return work(torch.float)

    def differ(self, step: str, found: Iterable[Tensor], expected: Iterable[Tensor]) -> None:
        """Note the largest difference relative to an output's largest value.

        Raises:
            ValueError: it is too large.
        """
        difference = largest_difference(found, expected)
        self.facts.differences[step] = difference
        if not difference <= self.most(step):
            what = 'the losses differ' if step == 'loss' else 'the outputs differ'
            if step == 'selection loss':
                what = 'the loss that channels are selected by and that of a training step differ'
            raise ValueError(f'{what} by {difference:.1e}')

    def most(self, step: str) -> float:
        """The largest difference that a step may show."""
        return SINGLE_TOLERANCE if step in self.facts.single else TOLERANCE

    def batch_for(self, detector: nn.Module) -> SelectionImages:
        """Two noise images with objects."""
        images, samples = synthetic_batch(2, self.spec.size, detector)
        return SelectionImages(images.to(next(detector.parameters()).dtype), None, samples)

    @torch.no_grad()
    def loss_of(self, detector: nn.Module) -> Tensor:
        """That of a training step, but norms and dropout are at rest."""
        batch = self.batch_for(detector)
        with in_eval(detector), seeded(0):
            detector.train()
            for module in detector.modules():
                if isinstance(module, AT_REST) or type(module).__name__.startswith('Drop'):
                    module.training = False
            return training_loss(detector, batch)


def training_loss(detector: nn.Module, batch: SelectionImages) -> Tensor:
    """What mmdet's training step takes the gradient of."""
    return detector.parse_losses(detector.loss(batch.inputs, batch.data_samples))[0]


def largest_difference(found: Iterable[Tensor], expected: Iterable[Tensor]) -> float:
    """The largest difference relative to an output's largest value."""
    return max(
        float((a - b).abs().max() / b.abs().max().clamp(min=1e-12))
        for a, b in zip(found, expected, strict=True)
        if b.numel()
    )


def halved(detector: nn.Module, groups: Sequence[ChannelGroup]) -> Plan:
    """Half of the channels of every group go: those with the smallest weights."""
    totals, plan = axis_sizes(detector, groups), Plan()
    for group in groups:
        scores = torch.zeros(group.channels)
        for member in group.producers:
            module = detector.get_submodule(member.path)
            sums = kind_of(module).filters(module).abs().sum(1)
            scores.index_add_(0, torch.tensor(member.root), sums[list(member.index)])
        gone = scores.argsort()[: int(group.channels * RATIO)].tolist()
        plan = plan.remove(group, gone, totals)
    return plan


def cast(detector: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The detector in double or single precision; ``to`` of some of mmdet's takes devices only."""
    return detector.double() if dtype is torch.double else detector.float()


def count_params(detector: nn.Module) -> int:
    """Elements of all parameters."""
    return sum(parameter.numel() for parameter in detector.parameters())


def tensors(outputs: Any) -> list[Tensor]:
    """Every tensor of nested outputs, in order."""
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
