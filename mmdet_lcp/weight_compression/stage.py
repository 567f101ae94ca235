"""What a weight compression method says: which layers are transformed, in which stages.

A method of a paper (low-bit weights block by block; pruned connections round by round; shared
weights) is a list of stages. The runner knows stages only.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import nn

from mmdet_lcp.engine.phase_config import PhaseConfig
from mmdet_lcp.graph.stage import Skipped


class TransformStage(ABC):
    """One change of some layers' weights, and the training that follows it.

    Both `begin` and `end` have to do the same again when they are given the same detector, since
    a resumed run repeats the stage that was under way.

    Args:
        name: for logs and reports, such as ``'block 2 of 5'``.
        layers: module paths of the layers that it changes.
        training: the training behind the change.
    """

    def __init__(self, name: str, layers: Sequence[str], training: PhaseConfig) -> None:
        self.name = name
        self.layers = list(layers)
        self.training = training

    @abstractmethod
    def begin(self, detector: nn.Module, seed: int) -> dict[str, float]:
        """Put transforms on, in place.

        Args:
            detector: as the stage before has left it.
            seed: of what is random.

        Returns:
            Figures for the log, by name.
        """

    def trained(self, detector: nn.Module) -> nn.Module:
        """What is trained: the detector, or one with attachments (`AttachedDetector`)."""
        return detector

    def end(self, detector: nn.Module) -> dict[str, float]:
        """What comes behind the training, such as freezing what was trained; as `begin`."""
        return {}


class TransformMethod(ABC):
    """A published way to compress weights; registered in `METHODS`, built from the config."""

    @abstractmethod
    def check(self, where: str) -> None:
        """Look at the settings before anything is built.

        Args:
            where: the config key of this method, for messages.

        Raises:
            CompressionError: one is out of range; the message names its key.
        """

    @abstractmethod
    def stages(
        self, detector: nn.Module, where: str
    ) -> tuple[list[TransformStage], list[Skipped]]:
        """Lay out the stages.

        Args:
            detector: the dense detector.
            where: the config key of this method, for messages.

        Returns:
            The stages in order, and the layers that are left alone, with the reasons.

        Raises:
            CompressionError: a pattern matches no layer, or nothing is left to change.
        """

    @property
    @abstractmethod
    def scheme(self) -> str:
        """What it does to a weight, in words for reports, such as ``'1 bit, a scale a layer'``."""
