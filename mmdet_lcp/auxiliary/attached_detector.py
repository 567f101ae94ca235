"""A detector and what trains along with it, as one model for the training loop.

What is deployed is the detector alone: nothing in it knows of the wrapper.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmdet_lcp.auxiliary.loss_terms import AttachmentTerm, AuxiliaryTerm
from mmdet_lcp.auxiliary.network import AuxiliaryNetwork
from mmdet_lcp.detectors.default_boxes import DefaultBoxSampler
from mmdet_lcp.detectors.taps import Taps, forward_until
from mmdet_lcp.selection.loss_term import LossTerm


class Attachment(nn.Module, ABC):
    """Taps feature maps of a detector and contributes losses.

    Attributes:
        name: its name in an `AttachedDetector`.
        paths: module paths whose outputs `losses` reads.
    """

    name: str = 'attachment'
    paths: list[str]

    def watch(self) -> AbstractContextManager:
        """Open while the detector computes its own losses, before `losses` is called."""
        return nullcontext()

    @abstractmethod
    def losses(self, taps: Mapping[str, Any], data_samples: list) -> dict[str, Tensor]:
        """Losses by name, each a scalar; names must not be the detector's own."""

    def for_selection(self) -> list[LossTerm]:
        """What it adds to the loss that channels are scored by, as it is now."""
        return [AttachmentTerm(self)]


class LayerAuxiliary(Attachment):
    """LCP's auxiliary network on one layer, with the boxes that the detector trains on.

    Args:
        network: reads the layer's output.
        sampler: chooses default boxes; made for the detector at hand.
        path: module path of the layer.
    """

    name = 'localization'

    def __init__(self, network: AuxiliaryNetwork, sampler: DefaultBoxSampler, path: str) -> None:
        super().__init__()
        self.network = network
        self.sampler = sampler
        self.path = path
        self.paths = [path, *sampler.paths]

    def watch(self) -> AbstractContextManager:
        """See `DefaultBoxSampler.watch`."""
        return self.sampler.watch()

    def losses(self, taps: Mapping[str, Any], data_samples: list) -> dict[str, Tensor]:
        """L_a = L_ac + L_ar (LCP, arXiv 1911.02237) as ``loss_aux_cls``, ``loss_aux_box``."""
        return self.network(taps[self.path], self.sampler.sample(taps, data_samples))

    def for_selection(self) -> list[LossTerm]:
        """The network's: it reads the first consumer's output, without running the detector."""
        return [AuxiliaryTerm(self.network)]


class AttachedDetector(BaseModel):
    """A detector whose loss includes that of its attachments: L_f = L_a + L_c + L_r.

    Args:
        detector: a plain mmdet detector; its parameters are trained in place.
        attachments: by name.
        detector_losses: False leaves the detector's own losses out, and does not run what lies
            behind the last of the attachments' layers, which then learns nothing.
    """

    def __init__(
        self,
        detector: nn.Module,
        attachments: Mapping[str, Attachment],
        detector_losses: bool = True,
    ) -> None:
        super().__init__(data_preprocessor=detector.data_preprocessor)
        self.detector = detector
        self.attachments = nn.ModuleDict(attachments)
        self.detector_losses = detector_losses

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        """As the detector's own; with ``mode='loss'`` the attachments' losses too, or alone."""
        if mode != 'loss':
            return self.detector(inputs, data_samples, mode=mode)
        paths = [path for attachment in self.attachments.values() for path in attachment.paths]
        paths = list(dict.fromkeys(paths))
        if self.detector_losses:
            with ExitStack() as watching, Taps(self.detector, paths) as taps:
                for attachment in self.attachments.values():
                    watching.enter_context(attachment.watch())
                losses = dict(self.detector(inputs, data_samples, mode='loss'))
        else:
            taps = forward_until(self.detector, inputs, paths, data_samples=data_samples)
            losses = {}
        # Regions and their losses need full precision.
        with torch.autocast(inputs.device.type, enabled=False):
            for attachment in self.attachments.values():
                losses.update(attachment.losses(_full_precision(taps), data_samples))
        return losses


def _full_precision(taps: Mapping[str, Any]) -> dict[str, Any]:
    def convert(value):
        if isinstance(value, Tensor):
            return value.float() if value.is_floating_point() else value
        if isinstance(value, (list, tuple)):
            return type(value)(convert(item) for item in value)
        return value

    return {path: convert(value) for path, value in taps.items()}
