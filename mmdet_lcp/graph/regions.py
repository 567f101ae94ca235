"""The regions that a two-stage detector's heads run on: noted in one pass, given in another.

In mmdet a head reads its features through a RoI extractor, called with ``rois``, (R, 5): the
image's index in the batch, then the box in pixels.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from torch import Tensor, nn


@dataclass
class Regions:
    """Regions of a batch of images.

    Attributes:
        proposals: of each image, (P, 4) boxes as (x1, y1, x2, y2) in pixels.
        rois: of each extraction in order, where they are not to be what the heads make of the
            proposals: a cascade refines them by its own weights.
    """

    proposals: list[Tensor]
    rois: list[Tensor] = field(default_factory=list)

    def first(self) -> 'Regions':
        """Those of the first image alone."""
        return Regions(self.proposals[:1], [rois[rois[:, 0] == 0] for rois in self.rois])


@contextmanager
def noted_rois(detector: nn.Module) -> Iterator[list[Tensor]]:
    """The ``rois`` of every extraction while the context is open, in order."""
    noted: list[Tensor] = []

    def note(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        noted.append((args[1] if len(args) > 1 else kwargs['rois']).detach())

    with _hooked(detector, note):
        yield noted


@contextmanager
def given_rois(detector: nn.Module, rois: Sequence[Tensor]) -> Iterator[None]:
    """Let the extractors read these ``rois``, one after the other; their own ones after that."""
    left = list(reversed(rois))

    def give(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple | None:
        if not left:
            return None
        if len(args) > 1:
            return (args[0], left.pop(), *args[2:]), kwargs
        return args, {**kwargs, 'rois': left.pop()}

    with _hooked(detector, give):
        yield


def images_of(count: int, images: int, noted: Sequence[Tensor]) -> Tensor | None:
    """The image that each item of a layer's input belongs to, or ``None`` if that is unknown.

    Args:
        count: items of the input.
        images: images in the batch.
        noted: `noted_rois` so far.

    Returns:
        (count,), int64. Regions come first, since there may be as many of them as images: a head
        runs after its extractor; in mmdet, what reads whole images runs before any.
    """
    for rois in reversed(noted):
        if len(rois) == count:
            return rois[:, 0].long()
    if images == 1:
        return torch.zeros(count, dtype=torch.int64)
    return torch.arange(images) if count == images else None


@contextmanager
def _hooked(detector: nn.Module, hook: Any) -> Iterator[None]:
    with ExitStack() as hooks:
        for module in detector.modules():
            if isinstance(module, BaseRoIExtractor):
                handle = module.register_forward_pre_hook(hook, with_kwargs=True)
                hooks.callback(handle.remove)
        yield
