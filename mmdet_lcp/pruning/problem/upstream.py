"""What runs before some layers gives the same while only their kernels change: run it once."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mmdet_lcp.pruning.problem.recorder import Given, Recorder, replayed, size_of


@dataclass(frozen=True)
class Upstream:
    """Outputs of the modules that a forward pass ends before the first of some layers begins.

    Attributes:
        outputs: by module, one entry a run; of a module inside another one that is here, nothing.
            What nobody reads any more once the layers have begun is nan.
        layers: these layers, in the order in which they began, one entry a run.
    """

    outputs: dict[nn.Module, list[Given]] = field(default_factory=dict)
    layers: tuple[nn.Module, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return size_of(self.outputs)

    def replayed(self) -> AbstractContextManager[None]:
        """While open, the modules give what they have given, and run from the next time on.

        Open it anew for each forward pass.
        """
        return replayed(self.outputs)


@torch.no_grad()
def record_upstream(
    model: nn.Module, run: Callable[[], Any], layers: Collection[nn.Module]
) -> Upstream:
    """Run a model once and keep what comes before some of its layers.

    Args:
        model: in eval mode; it has to do the same in each forward pass.
        run: called without arguments; runs the model, completely or not.
        layers: modules of it whose weights will change.

    Returns:
        What changes what it reads is in it only if that belongs to nobody else, as with a ReLU in
        place behind a convolution.
    """
    recorder = Recorder(model, layers)
    with recorder:
        run()
    return Upstream(recorder.unwritten(), tuple(recorder.began))
