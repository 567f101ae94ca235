"""What every transform can do: say how it was made, and be made again."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


class Transform(nn.Module, ABC):
    """A parametrization of a layer's weight; the forward pass reads ``forward(weight)``."""

    @abstractmethod
    def forward(self, weight: Tensor) -> Tensor:
        """The weight that is read, of the same shape and type."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Plain data that `from_spec` needs beside the tensors of the state dict."""

    def spec(self) -> dict[str, Any]:
        """Plain data: ``type`` in `TRANSFORMS`, and the settings."""
        return {'type': type(self).__name__, **self.settings()}

    @classmethod
    def from_spec(cls, spec: dict[str, Any], shape: Sequence[int]) -> 'Transform':
        """A transform of these settings, its tensors still to be loaded.

        Args:
            spec: by `spec`.
            shape: of the weight.
        """
        return cls(**{key: value for key, value in spec.items() if key != 'type'})
