"""The terms of the loss that channels are scored by: what each reads, and what it makes of it."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from mmdet_lcp.config.checks import check_not_negative
from mmdet_lcp.detectors.roi_samples import RoISamples
from mmdet_lcp.selection.images import SelectionImages


@dataclass
class Candidate:
    """One batch of selection images, with other kernels in the layers that read a group.

    Gradients flow to the kernels alone. Nothing runs before a term asks for it, and nothing runs
    twice.

    Attributes:
        kernels: of the group's consumers, by path, in order of execution.
        targets: what the consumers write in the original detector, by path, one entry a run.
        images: the images themselves, with mmdet's ground truth; ``None`` in problems of tensors.
        samples: regions of the images for an auxiliary network, or ``None``.
        run: gives a consumer's outputs.
        read: gives the outputs of all terms' `LossTerm.paths`.
    """

    kernels: Mapping[str, Tensor]
    targets: Mapping[str, Sequence[Tensor]]
    images: SelectionImages | None
    samples: RoISamples | None
    run: Callable[[str], list[Tensor]]
    read: Callable[[], Mapping[str, Tensor]]
    _outputs: dict[str, list[Tensor]] = field(default_factory=dict, init=False)

    def outputs(self, path: str) -> list[Tensor]:
        """What a consumer writes with its kernel, one entry a run, as in `targets`."""
        if path not in self._outputs:
            self._outputs[path] = self.run(path)
        return self._outputs[path]

    @property
    def first(self) -> Tensor:
        """What the first consumer writes in its first run."""
        return self.outputs(next(iter(self.kernels)))[0]

    @cached_property
    def taps(self) -> Mapping[str, Tensor]:
        """What the modules of `LossTerm.paths` write, by path; the detector is in eval mode."""
        return self.read()


class LossTerm(ABC):
    """One loss, or a few that belong together, in the sum L that criteria and updates see.

    Subclasses that a config names are registered in ``LOSS_TERMS``; the parameters of their
    ``__init__`` are the keys.

    Args:
        weight: factor of its losses, >= 0; with 0 it is left out.

    Attributes:
        any_strides: whether its losses read outputs and targets whose memory is laid out in any
            way: no `view`, no raw memory. Layers run faster on a CPU if channels lie together;
            where a term does not say that it can, they lie as a plain detector has them.
        paths: modules of the detector whose outputs it reads, each one tensor: `Candidate.taps`.
            They come behind the consumers; the detector then runs for every look at L, as far as
            the last module of all terms. What runs before the consumers is run once and kept,
            where there is room.

    Raises:
        CompressionError: the weight is out of range.
    """

    any_strides: bool = False
    paths: Sequence[str] = ()

    def __init__(self, weight: float = 1.0) -> None:
        check_not_negative(f'{type(self).__name__}.weight', weight)
        self.weight = weight

    @abstractmethod
    def losses(self, candidate: Candidate) -> dict[str, Tensor]:
        """Its losses by name, each a scalar, without the weight.

        A loss is a mean over the images of the batch, so that batches of all ranks average to
        one over all images. Names are those of logs and reports; no two terms share one.
        """

    def scaled(self, factor: float) -> 'LossTerm':
        """The same term with a multiple of its weight."""
        scaled = copy.copy(self)
        scaled.weight = self.weight * factor
        return scaled
