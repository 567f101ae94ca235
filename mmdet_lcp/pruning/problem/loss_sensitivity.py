"""How the original detector's own loss depends on its layers' outputs, on the selection images."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from mmengine import dist
from torch import Tensor, nn

from mmdet_lcp.graph.surgery import axis_size
from mmdet_lcp.pruning.problem.selection_batch import Calls
from mmdet_lcp.selection.images import SelectionImages, detection_loss
from mmdet_lcp.training_mode import in_training


class LossSensitivity:
    """Gradients g of the original detector's loss at layers' outputs.

    Args:
        by_position: whether `squares` are kept: they grow with the number of images.

    Attributes:
        squares: of this rank's batches, one dict each: ||g||^2 by position, in each run of a
            layer, by path; ``None`` before anything is measured, and where they are not kept.
            Empty for a layer that the loss runs more often than the detector itself.
        metrics: E[g g'] over all positions of all ranks, (out, out), float64, by path; layers
            that the loss does not reach are left out.
    """

    def __init__(self, by_position: bool = True) -> None:
        self._by_position = by_position
        self._known: set[str] = set()
        self.squares: list[Calls] | None = None
        self.metrics: dict[str, Tensor] = {}

    def measure(
        self,
        dense: nn.Module,
        batches: Sequence[SelectionImages],
        paths: Sequence[str],
        runs: Mapping[str, int],
    ) -> None:
        """One forward and one backward pass over the images; none if all is known already.

        Args:
            dense: the original detector.
            batches: this rank's images.
            paths: of the layers.
            runs: how often the detector runs each.
        """
        if self._known.issuperset(paths):
            return
        self.squares, sums = [] if self._by_position else None, {}
        count: dict[str, float] = {}
        for images in batches:
            squares: Calls = {path: [] for path in paths}
            for path, run in _gradients(dense, images, paths):
                squares[path].append(run.squares)
                count[path] = count.get(path, 0.0) + run.squares.numel()
                if run.products is not None:
                    sums[path] = sums.get(path, 0) + run.products
            for path, found in squares.items():
                if len(found) != runs[path]:  # runs of the loss alone
                    squares[path] = []
            if self.squares is not None:
                self.squares.append(squares)
        for path in paths:  # on every rank, whichever layers have run on it
            size = axis_size(dense.get_submodule(path), 'out_channels', path)
            nothing = batches[0].inputs.new_zeros(size, size, dtype=torch.float64)
            total = sums.get(path, nothing)
            rows = torch.tensor(count.get(path, 0.0), dtype=torch.float64)
            dist.all_reduce(total)
            dist.all_reduce(rows)
            if total.any():
                self.metrics[path] = total / float(rows)
        self._known = set(paths)


@dataclass
class _Run:
    """What is kept of the gradient g at the output of a run.

    Attributes:
        squares: ||g||^2 by position, (N, P); zeros where the loss does not depend on it.
        products: sum of g g' over positions, (out, out) float64, or ``None`` then.
    """

    squares: Tensor
    products: Tensor | None = None

    def take(self, gradient: Tensor, channels_last: bool) -> None:
        """Called once the gradient is there, which need not be kept after that."""
        gradient = _by_channel(gradient.detach(), channels_last)
        self.squares = gradient.square().sum(1)
        # An image's products in the gradient's own precision, their sum over images in float64.
        self.products = (gradient @ gradient.mT).sum(0, dtype=torch.float64)


def _by_channel(output: Tensor, channels_last: bool) -> Tensor:
    """(N, C, P) of what a linear layer writes, whose channels come last, or a convolution."""
    if channels_last:
        return output.reshape(len(output), -1, output.shape[-1]).mT
    return output.flatten(2)


def _gradients(
    dense: nn.Module, images: SelectionImages, paths: Sequence[str], from_images: bool = False
) -> list[tuple[str, _Run]]:
    """Gradient of the loss at each output, path by path and in the order of a layer's runs.

    The outputs of the layers that run first are where the gradient ends: it would not be used
    further up, and what runs before them need not be kept for it. It goes on to the images where
    one of these lies in a checkpointed block, which needs inputs with gradients, or where
    parameters learn.
    """
    from_images = from_images or any(parameter.requires_grad for parameter in dense.parameters())
    found: dict[str, list[_Run]] = {path: [] for path in paths}
    # A head on objects alone does not run on images without any.
    forward: set[str] | None = None
    inputs = images.inputs.detach().requires_grad_(from_images)
    ends = [inputs] if from_images else []
    hidden = False

    def see(path: str, module: nn.Module, _: tuple, output: Tensor) -> Tensor | None:
        nonlocal hidden
        if not torch.is_grad_enabled() or (forward is not None and path in forward):
            # A checkpointed layer: it runs, or ran, another time with gradients.
            hidden = hidden or not ends
            begun = not torch.is_grad_enabled() or output.requires_grad or from_images
            return None if begun else output.detach().requires_grad_(True).clone()
        channels_last = isinstance(module, nn.Linear)
        empty = _by_channel(output.detach(), channels_last)
        run = _Run(empty.new_zeros((len(empty), empty.shape[2])))
        found[path].append(run)
        begins = not output.requires_grad and not from_images
        if begins:
            output = output.detach().requires_grad_(True)
            ends.append(output)
        if output.requires_grad:
            output.register_hook(partial(run.take, channels_last=channels_last))
        return output.clone() if begins else None  # what follows may write over it

    with ExitStack() as stack:
        for path in paths:
            hook = dense.get_submodule(path).register_forward_hook(partial(see, path))
            stack.callback(hook.remove)
        stack.enter_context(in_training(dense))
        stack.enter_context(torch.enable_grad())
        loss = detection_loss(dense, SelectionImages(inputs, None, images.data_samples))
        forward = {path for path in paths if found[path]}
        if not hidden and loss.requires_grad:  # not on images without objects, for some heads
            torch.autograd.grad(loss, ends, allow_unused=True)
    if hidden:
        return _gradients(dense, images, paths, from_images=True)
    return [(path, run) for path in paths for run in found[path]]
