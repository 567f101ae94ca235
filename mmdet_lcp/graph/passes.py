"""The passes of a detector: what it does in training and prediction runs layers of its own.

mmdet's forward in ``mode='tensor'`` leaves out what only the loss or a prediction needs: a point
head, a branch of semantic segmentation, the extractors of a cascade's masks.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from torch import Tensor, nn

from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.graph.layer_kinds import kind_of
from mmdet_lcp.graph.made_samples import made_samples, plain_samples
from mmdet_lcp.modes import in_eval
from mmdet_lcp.seeds import seeded
from mmdet_lcp.training_mode import in_training


@dataclass(frozen=True)
class Pass:
    """One way to run a detector on an image.

    Attributes:
        name: ``'tensor'``, ``'loss'`` or ``'predict'``.
        forward: runs a detector on images, (N, C, H, W), in the mode that belongs to it, with
            the same random numbers each time, and returns what it gives.
    """

    name: str
    forward: Callable[[nn.Module, Tensor], Any]

    @torch.no_grad()
    def run(self, detector: nn.Module, inputs: Tensor) -> Any:
        """Run it; modes and state of modules and of the generators are as before."""
        mode = in_training if self.name == 'loss' else in_eval
        with mode(detector), seeded(0):
            return self.forward(detector, inputs)


def passes_of(detector: nn.Module) -> list[Pass]:
    """The passes of a detector, the one that channels are scored on first.

    A network that is no detector of mmdet has this one alone.
    """
    tensor = Pass('tensor', tensor_forward)
    if not isinstance(detector, BaseDetector):
        return [tensor]
    return [tensor, Pass('loss', _loss), Pass('predict', _predict)]


def _loss(detector: nn.Module, inputs: Tensor) -> Any:
    return detector.loss(inputs, made_samples(detector, inputs))


def _predict(detector: nn.Module, inputs: Tensor) -> Any:
    samples = plain_samples(inputs)
    if getattr(detector, 'roi_head', None) is not None and not detector.with_rpn:
        samples = made_samples(detector, inputs)  # with proposals
    found = detector.predict(inputs, samples)
    return [value for sample in found for value in sample.all_values()]


def modules_run(detector: nn.Module, forward: Callable[[], Any]) -> frozenset[str]:
    """Paths of the modules with channels that a forward pass runs."""
    ran: set[str] = set()
    with ExitStack() as hooks:
        for path, module in detector.named_modules():
            if kind_of(module) is not None:
                handle = module.register_forward_hook(lambda *a, path=path: ran.add(path))
                hooks.callback(handle.remove)
        forward()
    return frozenset(ran)
