"""A group's turn in a pruning run, and what is left alone."""

from dataclasses import dataclass

from mmdet_lcp.graph.groups import ChannelGroup


@dataclass(frozen=True)
class Stage:
    """One group's turn.

    Attributes:
        group: the group.
        asked: channels that stay by the ratio alone.
        keep: channels that stay, with `channel_divisor` and `min_channels` honoured.
        divisor: `channel_divisor`.
        least: `min_channels`, as a multiple of it; with a target also by its `max_ratio`.
    """

    group: ChannelGroup
    asked: int
    keep: int
    divisor: int = 1
    least: int = 1

    @property
    def name(self) -> str:
        """That of the group."""
        return self.group.name

    def round_up(self, count: int) -> int:
        """The least number of channels that may stay and is not below ``count``, <= keep."""
        return min(max(-(-count // self.divisor) * self.divisor, self.least), self.keep)


@dataclass(frozen=True)
class Skipped:
    """A group that is left alone, by its first producer, and why."""

    name: str
    reason: str
