"""PruningJob: what the pruning of one detector works on, and how far it is."""

from dataclasses import dataclass, field, replace

from torch import nn

from mmdet_lcp.auxiliary.attached_detector import Attachment
from mmdet_lcp.copies import detached_copy
from mmdet_lcp.graph import ChannelGroup, Plan, axis_sizes, find_groups
from mmdet_lcp.graph.plan import Totals
from mmdet_lcp.graph.stage import Skipped, Stage
from mmdet_lcp.pruning.config import RemovalConfig
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.pruning.stages import choose_stages, nothing_to_prune, with_counts
from mmdet_lcp.pruning.suited import suited_stages
from mmdet_lcp.pruning.targets.planner import Allocation
from mmdet_lcp.report.facts import GroupFacts


@dataclass
class PruningJob:
    """The one owner of what a pruning run, a sensitivity table or a call of `prune` works on.

    Attributes:
        dense: the detector before any pruning, frozen, in eval mode.
        detector: the present one; surgery changes it in place.
        image_size: (height, width) in pixels of the images that it is deployed on.
        groups: all channel groups of the dense detector, in order of execution.
        stages: those that lose channels, in order, and how many stay.
        skipped: those that are left alone, and why.
        totals: sizes of the dense detector's axes.
        seed: of all that is drawn.
        images: the selection images; ``None`` until they are drawn.
        allocation: how a target was shared out, if there is one.
        plan: what has been pruned so far.
        facts: what became of each group so far, in order.
        attached: what was trained along with the detector last, if the next stage reads it.
    """

    dense: nn.Module
    detector: nn.Module
    image_size: tuple[int, int]
    groups: list[ChannelGroup]
    stages: list[Stage]
    skipped: list[Skipped]
    totals: Totals
    seed: int
    images: SelectionSet | None = None
    allocation: Allocation | None = None
    plan: Plan = field(default_factory=Plan)
    facts: list[GroupFacts] = field(default_factory=list)
    attached: Attachment | None = None

    @classmethod
    def lay_out(
        cls,
        detector: nn.Module,
        dense: nn.Module,
        image_size: tuple[int, int],
        config: RemovalConfig,
        seed: int,
        spare: bool = False,
    ) -> 'PruningJob':
        """Find the groups, and choose those that lose channels.

        Args:
            detector: the trained detector; the job changes it in place.
            dense: a frozen copy of it.
            image_size: (height, width) in pixels.
            config: which groups lose how many channels, and by what.
            seed: of all that is drawn.
            spare: groups that criterion or update cannot work on are left alone, instead of an
                error.

        Raises:
            CompressionError: the detector cannot be traced, nothing can be removed (with the
                reason for each group), or criterion or update cannot work on a group.
        """
        groups = find_groups(detector, image_size)
        stages, skipped = choose_stages(detector, groups, config)
        stages, unsuited = suited_stages(dense, stages, config, spare)
        skipped += unsuited
        if not stages:
            raise nothing_to_prune(skipped)
        totals = axis_sizes(detector, [stage.group for stage in stages])
        return cls(dense, detector, image_size, groups, stages, skipped, totals, seed)

    @property
    def consumers(self) -> list[str]:
        """Paths of the layers that read the groups, in order of the stages."""
        return [member.path for stage in self.stages for member in stage.group.consumers]

    @property
    def reasons(self) -> dict[str, str]:
        """Why layers keep all that they write, by path."""
        why = {item.name: item.reason for item in self.skipped}
        alone = [group for group in self.groups if group.name in why]
        return {member.path: why[group.name] for group in alone for member in group.producers}

    def example_plan(self) -> Plan:
        """A plan of the size that the run's will have: of each group the first channels stay."""
        plan = Plan()
        for stage in self.stages:
            gone = range(stage.keep, stage.group.channels)
            plan = plan.remove(stage.group, gone, self.totals)
        return plan

    def see(self, images: SelectionSet) -> None:
        """Take the selection images, and announce the groups to them."""
        self.images = images
        images.expect(self.consumers, self.dense)

    def share_out(self, allocation: Allocation) -> None:
        """Take the numbers of channels that a target has come to."""
        self.stages, whole = with_counts(self.stages, allocation.counts)
        self.skipped += whole
        self.allocation = allocation
        self.images.expect(self.consumers, self.dense)

    def take(self, plan: Plan, facts: GroupFacts) -> None:
        """Write down what has become of a group: what stays now, and its line in a report."""
        self.plan = plan
        self.facts.append(facts)

    def alone(self) -> 'PruningJob':
        """The same job at its beginning, on a copy of the detector."""
        return replace(
            self, detector=detached_copy(self.detector), plan=Plan(), facts=[], attached=None
        )
