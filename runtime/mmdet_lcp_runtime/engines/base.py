"""What every engine gives."""

import abc
from collections.abc import Sequence
from typing import ClassVar

import numpy as np


class Engine(abc.ABC):
    """A file that an inference engine has opened.

    Attributes:
        batches: whether it runs several images at once, where the file's batch is free.
        description: what the file carries of `metadata`, or None.
    """

    batches: ClassVar[bool] = True
    description: str | None = None

    @abc.abstractmethod
    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute.

        Args:
            inputs: by name; one image or a batch, contiguous.

        Returns:
            Outputs by name, float32 or whole numbers; (N, ...) each.
        """

    @abc.abstractmethod
    def outputs(self, wanted: Sequence[str]) -> list[str]:
        """Names of what `run` gives, told once which outputs the file's description names.

        An engine whose files have lost their names gives the outputs these, in their order.
        """
