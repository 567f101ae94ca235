"""The images on which channels are scored, and the detector's own loss on them."""

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from mmdet_lcp.attachments import Attachment, RoISamples, forward_until, run_until
from mmdet_lcp.criteria.upstream import Upstream, record_upstream
from mmdet_lcp.modes import in_eval
from mmdet_lcp.seeds import seeded
from mmdet_lcp.structure.forward import tensor_forward
from mmdet_lcp.structure.regions import Regions


@dataclass
class SelectionImages:
    """One preprocessed batch.

    Attributes:
        inputs: (N, 3, H, W), normalised, on the detector's device.
        samples: regions for auxiliary networks, or ``None``.
        data_samples: mmdet's ground truth of each image.
        regions: what the heads of a two-stage detector run on, or ``None``.
    """

    inputs: Tensor
    samples: RoISamples | None
    data_samples: list = field(default_factory=list)
    regions: Regions | None = None

    def first(self) -> 'SelectionImages':
        """The first image alone, without the auxiliary network's regions."""
        regions = None if self.regions is None else self.regions.first()
        return SelectionImages(self.inputs[:1], None, self.data_samples[:1], regions)

    def run(self, detector: nn.Module) -> Any:
        """`tensor_forward` of a detector on this batch, with its regions."""
        return tensor_forward(detector, self.inputs, self.data_samples or None, self.regions)

    @property
    def boxes(self) -> list[Tensor]:
        """The objects of each image, (G, 4) as (x1, y1, x2, y2) in pixels of the batch image."""
        found = []
        for sample in self.data_samples:
            boxes = sample.gt_instances.bboxes
            found.append(getattr(boxes, 'tensor', boxes))
        return found


def detection_loss(detector: nn.Module, images: SelectionImages, seed: int = 0) -> Tensor:
    """The detector's own training loss on one batch, a scalar: the sum of all its loss terms.

    Batch norms run as the detector's mode has them; gradients are on or off as the caller has
    them. Two-stage detectors draw regions for their loss: the same ones for the same seed.
    """
    with seeded(seed):
        return detector.parse_losses(detector.loss(images.inputs, images.data_samples))[0]


def attached_losses(
    detector: nn.Module,
    attachment: Attachment,
    images: SelectionImages,
    weights: Mapping[str, Tensor],
    upstream: Upstream | None = None,
) -> dict[str, Tensor]:
    """What an attachment loses on one batch if some of the detector's kernels are others.

    The detector runs in eval mode and no further than the attachment reads. Gradients flow to
    ``weights`` alone, through all layers between them and what is read.

    Args:
        detector: left as it is.
        attachment: in eval mode.
        images: the batch.
        weights: kernels by path of their module.
        upstream: of the batch and of these modules, by `upstream_of`; it saves what runs before
            them.
    """
    values = {name: value.detach() for name, value in detector.named_parameters()}
    values |= {f'{path}.weight': weight for path, weight in weights.items()}
    inputs = (images.inputs, images.data_samples)
    with in_eval(detector), upstream.replayed() if upstream else nullcontext():
        taps = run_until(
            detector,
            # A module may have several paths (a head's layer that its levels share): one is named,
            # and PyTorch would swap it twice.
            lambda: functional_call(
                detector, values, inputs, {'mode': 'tensor'}, tie_weights=False
            ),
            attachment.paths,
        )
    return attachment.losses(taps, images.data_samples)


def upstream_of(
    detector: nn.Module, attachment: Attachment, images: SelectionImages, paths: Collection[str]
) -> Upstream:
    """What `attached_losses` need not run again while only some kernels change.

    Args:
        detector: as in `attached_losses`, like the attachment and the batch.
        attachment: runs no further than it reads.
        images: the batch.
        paths: of the modules whose kernels change.
    """
    layers = [detector.get_submodule(path) for path in paths]
    with in_eval(detector):
        return record_upstream(
            detector,
            lambda: forward_until(
                detector, images.inputs, attachment.paths, data_samples=images.data_samples
            ),
            layers,
        )
