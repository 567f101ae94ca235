"""What a detector's modules write when some of its kernels are others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mmdet_lcp.detectors.taps import run_until
from mmdet_lcp.modes import in_eval
from mmdet_lcp.pruning.problem.narrowed import output_of
from mmdet_lcp.pruning.problem.recorder import Given, replayed
from mmdet_lcp.pruning.problem.upstream import Upstream, record_upstream
from mmdet_lcp.selection.images import SelectionImages

_OTHER = 0.75  # kernels that differ from the detector's own, in its units
_CLOSE = 1e-3  # of the largest value: other layouts of memory add up in another order


@dataclass(frozen=True)
class Shortcut:
    """What `outputs_with` need not run again on one batch.

    Attributes:
        upstream: what runs before the layers whose kernels change.
        first: path of the one that begins first, whose first output is the same as outside of
            the detector; ``None`` if it is not known to be.
        alone: whether that is the only run of all these layers.
        written: whether what follows writes over that output.
        modules: all of the detector.
        parameters: of these.
    """

    upstream: Upstream = field(default_factory=Upstream)
    first: str | None = None
    alone: bool = False
    written: bool = True
    modules: Sequence[nn.Module] = ()
    parameters: Sequence[nn.Parameter] = ()

    def without(self) -> 'Shortcut':
        """Nothing that takes memory, and so nothing that does not run again."""
        return Shortcut(modules=self.modules, parameters=self.parameters)


def outputs_with(
    detector: nn.Module,
    paths: Sequence[str],
    images: SelectionImages,
    weights: Mapping[str, Tensor],
    shortcut: Shortcut | None = None,
    output: Callable[[str], Tensor] | None = None,
) -> dict[str, Tensor]:
    """Outputs of some modules on one batch if some of the detector's kernels are others.

    The detector runs in eval mode and no further than the last of the modules. Gradients flow to
    ``weights`` alone, through all layers between them and what is read.

    Args:
        detector: left as it is.
        paths: of the modules.
        images: the batch.
        weights: kernels by path of their module.
        shortcut: of the batch and of these modules, by `shortcut_of`; it saves what runs before
            them.
        output: gives what `Shortcut.first` writes with its kernel in its first run.

    Raises:
        CompressionError: see `run_until`.
    """
    shortcut = shortcut or Shortcut(**_all_of(detector))
    with ExitStack() as stack:
        stack.enter_context(_still(shortcut))
        stack.enter_context(shortcut.upstream.replayed())
        if shortcut.first is not None:
            given = Given(output(shortcut.first), written=shortcut.written)
            stack.enter_context(replayed({detector.get_submodule(shortcut.first): [given]}))
        return run_until(
            detector,
            _run(detector, images, {} if shortcut.alone else weights),
            paths,
        )


def _run(
    detector: nn.Module, images: SelectionImages, weights: Mapping[str, Tensor]
) -> Callable[[], Any]:
    """Runs a detector on a batch, with other kernels."""
    inputs = (images.inputs, images.data_samples)
    if not weights:
        return lambda: detector(*inputs, mode='tensor')
    values = {f'{path}.weight': weight for path, weight in weights.items()}
    # A module may have several paths (a head's layer that its levels share): one is named, and
    # PyTorch would swap it twice.
    return lambda: functional_call(detector, values, inputs, {'mode': 'tensor'}, tie_weights=False)


def _all_of(detector: nn.Module) -> dict[str, Sequence]:
    """All modules and parameters of a detector, which take time to find."""
    return dict(modules=tuple(detector.modules()), parameters=tuple(detector.parameters()))


@contextmanager
def _still(shortcut: Shortcut) -> Iterator[None]:
    """All modules in eval mode for a while, and parameters that take no gradients."""
    training = [module for module in shortcut.modules if module.training]
    learning = [parameter for parameter in shortcut.parameters if parameter.requires_grad]
    for module in training:
        module.training = False
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module in training:
            module.training = True
        for parameter in learning:
            parameter.requires_grad_(True)


@torch.no_grad()
def shortcut_of(
    detector: nn.Module,
    paths: Sequence[str],
    images: SelectionImages,
    layers: Mapping[str, nn.Module],
    inputs: Mapping[str, Tensor],
) -> Shortcut:
    """What `outputs_with` need not run again while only some kernels change.

    The detector runs twice, with kernels that are not its own: as it is, and with the first
    layer's output computed outside of it. Where the two are not the same (an operator that takes
    the memory's layout for granted, regions that are drawn anew), that is left out, and if they
    still are not, everything runs each time.

    Args:
        detector: as in `outputs_with`, like the paths and the batch.
        paths: of the modules that are read; it runs no further.
        images: the batch.
        layers: the modules whose kernels change, by path.
        inputs: what each of them reads in its first run.
    """
    weights = {path: _OTHER * layer.weight for path, layer in layers.items()}
    wanted: dict[str, Tensor] = {}
    with in_eval(detector):
        run = _run(detector, images, weights)
        upstream = record_upstream(
            detector, lambda: wanted.update(run_until(detector, run, paths)), layers.values()
        )
    everything = _all_of(detector)
    tries = [Shortcut(upstream, **everything)]
    if upstream.layers:
        first = next(path for path, layer in layers.items() if layer is upstream.layers[0])
        alone = len(upstream.layers) == 1
        tries.insert(0, Shortcut(upstream, first, alone, written=False, **everything))
    for shortcut in tries:
        given: list[tuple[Tensor, int]] = []

        def output(path: str, given: list[tuple[Tensor, int]] = given) -> Tensor:
            value = output_of(layers[path], weights[path], inputs[path], None)
            given.append((value, value._version))
            return value

        try:
            found = outputs_with(detector, paths, images, weights, shortcut, output)
        except RuntimeError:  # such as a `view` of what does not lie as it should
            continue
        if all(_close(found[path], value) for path, value in wanted.items()):
            written = any(value._version != version for value, version in given)
            return replace(shortcut, written=written)
    return Shortcut(**everything)


def _close(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape:
        return False
    limit = _CLOSE * wanted.abs().amax() if wanted.numel() else 0
    return bool(((found - wanted).abs() <= limit).all())
