"""What a detector's modules write when some of its kernels are others."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn
from torch.func import functional_call

from mmdet_lcp.detectors.taps import forward_until, run_until
from mmdet_lcp.modes import in_eval
from mmdet_lcp.pruning.problem.upstream import Upstream, record_upstream
from mmdet_lcp.selection.images import SelectionImages


def outputs_with(
    detector: nn.Module,
    paths: Sequence[str],
    images: SelectionImages,
    weights: Mapping[str, Tensor],
    upstream: Upstream | None = None,
) -> dict[str, Tensor]:
    """Outputs of some modules on one batch if some of the detector's kernels are others.

    The detector runs in eval mode and no further than the last of the modules. Gradients flow to
    ``weights`` alone, through all layers between them and what is read.

    Args:
        detector: left as it is.
        paths: of the modules.
        images: the batch.
        weights: kernels by path of their module.
        upstream: of the batch and of these modules, by `upstream_of`; it saves what runs before
            them.

    Raises:
        CompressionError: see `run_until`.
    """
    values = {f'{path}.weight': weight for path, weight in weights.items()}
    inputs = (images.inputs, images.data_samples)
    replayed = upstream.replayed() if upstream else nullcontext()
    with in_eval(detector), _without_gradients(detector), replayed:
        return run_until(
            detector,
            # A module may have several paths (a head's layer that its levels share): one is named,
            # and PyTorch would swap it twice.
            lambda: functional_call(
                detector, values, inputs, {'mode': 'tensor'}, tie_weights=False
            ),
            paths,
        )


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """Parameters that take no gradients for a while."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def upstream_of(
    detector: nn.Module,
    paths: Sequence[str],
    images: SelectionImages,
    changing: Collection[str],
) -> Upstream:
    """What `outputs_with` need not run again while only some kernels change.

    Args:
        detector: as in `outputs_with`, like the paths and the batch.
        paths: of the modules that are read; it runs no further.
        images: the batch.
        changing: paths of the modules whose kernels change.
    """
    layers = [detector.get_submodule(path) for path in changing]
    with in_eval(detector):
        return record_upstream(
            detector,
            lambda: forward_until(
                detector, images.inputs, paths, data_samples=images.data_samples
            ),
            layers,
        )
