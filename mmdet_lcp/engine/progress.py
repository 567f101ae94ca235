"""Progress: how far a staged run is, and what was measured along the way."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmdet_lcp.report.facts import StepFacts


@dataclass
class Progress:
    """The record of a run; one process hands it to the next through the state on disk.

    Attributes:
        stages_done: stages that are complete.
        steps: what was measured, in order.
        seconds_before: wall time of the processes before this one.
        started: when this process began, by `time.time`.
    """

    stages_done: int = 0
    steps: list[StepFacts] = field(default_factory=list)
    seconds_before: float = 0.0
    started: float = field(default_factory=time.time)

    @property
    def seconds(self) -> float:
        """Wall time of the run so far."""
        return self.seconds_before + time.time() - self.started

    def to_dict(self) -> dict[str, Any]:
        """What `load` takes."""
        return {
            'stages_done': self.stages_done,
            'steps': [vars(step) for step in self.steps],
            'seconds': self.seconds,
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take the record of an earlier process."""
        self.steps = [StepFacts(**step) for step in saved['steps']]
        self.stages_done, self.seconds_before = saved['stages_done'], saved['seconds']
