"""How the original detector's own loss depends on its layers' outputs, on the selection images."""

from collections.abc import Mapping, Sequence

import torch
from mmengine import dist
from torch import Tensor, nn

from mmdet_lcp.detectors.taps import Taps
from mmdet_lcp.graph.surgery import axis_size
from mmdet_lcp.pruning.problem.selection_batch import Calls
from mmdet_lcp.selection.images import SelectionImages, detection_loss
from mmdet_lcp.training_mode import in_training


class LossSensitivity:
    """Gradients g of the original detector's loss at layers' outputs.

    Attributes:
        squares: of this rank's batches, one dict each: ||g||^2 by position, in each run of a
            layer, by path; ``None`` before anything is measured. Empty for a layer that the loss
            runs more often than the detector itself.
        metrics: E[g g'] over all positions of all ranks, (out, out), float64, by path; layers
            that the loss does not reach are left out.
    """

    def __init__(self) -> None:
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
        if self.squares is not None and all(path in self.squares[0] for path in paths):
            return
        self.squares, sums = [], {}
        count: dict[str, float] = {}
        with in_training(dense), torch.enable_grad():
            for images in batches:
                squares: Calls = {path: [] for path in paths}
                for path, gradient in _gradients(dense, images, paths):
                    # Channels last, as in the output of a linear layer.
                    if isinstance(dense.get_submodule(path), nn.Linear):
                        rows = gradient
                    else:
                        rows = gradient.flatten(2).transpose(1, 2)
                    squares[path].append(rows.square().sum(-1).reshape(len(rows), -1))
                    rows = rows.flatten(0, -2).double()
                    sums[path] = sums.get(path, 0) + rows.T @ rows
                    count[path] = count.get(path, 0.0) + len(rows)
                for path, found in squares.items():
                    if len(found) != runs[path]:  # runs of the loss alone
                        squares[path] = []
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


def _gradients(
    dense: nn.Module, images: SelectionImages, paths: Sequence[str]
) -> list[tuple[str, Tensor]]:
    """Gradient of the loss at each output, path by path and in the order of a layer's runs."""
    leaf = SelectionImages(images.inputs.detach().requires_grad_(True), None, images.data_samples)
    with Taps(dense, paths, all_calls=True) as taps:
        loss = detection_loss(dense, leaf)
    # A head on objects alone does not run on images without any.
    outputs = [(path, output) for path in paths for output in taps.get(path, ())]
    found = [torch.zeros_like(output) for _, output in outputs]
    if loss.requires_grad:  # not on images without objects, for some heads
        found = torch.autograd.grad(loss, [o for _, o in outputs], materialize_grads=True)
    return [(path, gradient) for (path, _), gradient in zip(outputs, found, strict=True)]
