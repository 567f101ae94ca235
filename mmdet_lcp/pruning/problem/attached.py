"""What an attachment loses when some of the detector's kernels are others."""

from collections.abc import Collection, Mapping
from contextlib import nullcontext

from torch import Tensor, nn
from torch.func import functional_call

from mmdet_lcp.auxiliary.attached_detector import Attachment
from mmdet_lcp.detectors.taps import forward_until, run_until
from mmdet_lcp.modes import in_eval
from mmdet_lcp.pruning.problem.upstream import Upstream, record_upstream
from mmdet_lcp.selection.images import SelectionImages


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
