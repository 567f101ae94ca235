"""How many positions of an image count at a layer: errors at neighbouring ones do not average out.

A change D of a layer's kernel changes its output at position p by D x_p, and the loss to second
order by the mean of (sum_p g_p' D x_p)^2 / 2 over images, g_p the gradient at the output. Taking
the positions for independent, as KFC does (Grosse and Martens, A Kronecker-factored approximate
Fisher matrix for convolution layers, ICML 2016, arXiv 1602.01407, section 3.1), makes that the
number of positions times the mean of (g_p' D x_p)^2. But an object's positions want the same
change. At the first layers, where an object has thousands of positions, the true sum has been
measured to be a hundred times as large: their channels would look far too cheap beside those of
deeper layers. So the number of positions is replaced by the one with which the approximation has
the trace that it should have:

    sum over images of ||G||^2 / images  over  E||x_p - E x||^2 E||g_p||^2

where G = sum_p g_p (x_p - E x)' is an image's gradient of the kernel. The mean of the inputs is
taken off, since a constant error goes into the bias.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from mmengine import dist
from torch import Tensor, nn

from mmdet_lcp.selection.images import SelectionImages, detection_loss
from mmdet_lcp.training_mode import in_training


def effective_positions(
    dense: nn.Module, batches: Sequence[SelectionImages], paths: Sequence[str]
) -> dict[str, float]:
    """The number of positions of an image that count, by layer.

    One forward and one backward pass of the detector's own loss over the images. The gradient of
    a batch stands for the sum of those of its images, which are taken for independent.

    Args:
        dense: the original detector, frozen; it stays as it is.
        batches: this rank's images.
        paths: of convolutions and linear layers.

    Returns:
        By path, the same on every rank; layers that the loss does not reach, or whose inputs do
        not vary, are left out.
    """
    layers = {path: dense.get_submodule(path) for path in dict.fromkeys(paths)}
    sums = {path: _Sums(layer) for path, layer in layers.items()}
    for images in batches:
        with ExitStack() as hooks:
            for path, layer in layers.items():
                hook = partial(_see, sums[path])
                hooks.callback(layer.register_forward_hook(hook).remove)
            weights = [layer.weight for layer in layers.values()]
            hooks.enter_context(in_training(dense))
            hooks.enter_context(_differentiable(weights))
            loss = detection_loss(dense, images)
            if loss.requires_grad:
                gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
                for own, gradient in zip(sums.values(), gradients, strict=True):
                    own.take(gradient)
    images = torch.tensor(float(sum(len(b.inputs) for b in batches)), dtype=torch.float64)
    dist.all_reduce(images)
    found = {}
    for path, own in sums.items():
        value = own.positions(float(images))
        if value is not None:
            found[path] = value
    return found


@dataclass
class _Sums:
    """What is added up at one layer, over the images of a rank."""

    layer: nn.Module
    rows: float = 0.0  # positions of the inputs, in all runs
    x: Tensor | float = 0.0  # (in_channels,)
    xx: Tensor | float = 0.0
    places: float = 0.0  # positions of the outputs
    gg: Tensor | float = 0.0  # (out_channels,)
    gradients: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _bias: Tensor | float = 0.0  # sum of g over the batch at hand

    def read(self, x: Tensor) -> None:
        """Take the inputs of one run."""
        flat = _rows(self.layer, x)
        self.rows += len(flat)
        self.x = self.x + flat.sum(0)
        self.xx = self.xx + flat.square().sum(0)

    def write(self, gradient: Tensor) -> None:
        """Take the gradient at the outputs of one run."""
        flat = _rows(self.layer, gradient)
        self.places += len(flat)
        self.gg = self.gg + flat.square().sum(0)
        self._bias = self._bias + flat.sum(0)

    def take(self, gradient: Tensor) -> None:
        """Take a batch's gradient of the kernel."""
        gradient = gradient.double()
        bias = self._bias + gradient.new_zeros(gradient.shape[0])
        self.gradients.append((gradient, bias))
        self._bias = 0.0

    def positions(self, images: float) -> float | None:
        """Those of an image that count; ``None`` if that says nothing."""
        weight = self.layer.weight
        out, inner = weight.shape[0], weight.shape[1]
        taps = weight[0, 0].numel()
        groups = getattr(self.layer, 'groups', 1)
        zero = weight.new_zeros((), dtype=torch.float64)
        x = self.x + zero.new_zeros(inner * groups)
        xx = self.xx + zero.new_zeros(inner * groups)
        gg = self.gg + zero.new_zeros(out)
        counts = zero.new_tensor([self.rows, self.places])
        for value in (x, xx, gg, counts):
            dist.all_reduce(value)
        rows, places = counts.tolist()
        if not rows or not places:
            return None
        mean = x / rows
        variance = (xx / rows - mean.square()).clamp(min=0).view(groups, inner).sum(1) * taps
        expected = float((variance * (gg / places).view(groups, -1).sum(1)).sum())
        own = mean.view(groups, 1, inner).expand(groups, out // groups, inner).reshape(out, inner)
        own = own.view(out, inner, *[1] * (weight.dim() - 2))
        total = zero.clone()
        for gradient, bias in self.gradients:
            total += (gradient - own * bias.view(-1, *[1] * (weight.dim() - 1))).square().sum()
        dist.all_reduce(total)
        return float(total) / images / expected if expected and total else None


def _see(sums: _Sums, layer: nn.Module, args: tuple, output: Tensor) -> None:
    """Take the inputs of a run, and its gradient when it is there; a hook."""
    sums.read(args[0].detach())
    if output.requires_grad:
        output.register_hook(lambda gradient: sums.write(gradient.detach()))


def _rows(layer: nn.Module, values: Tensor) -> Tensor:
    """Positions by channels, float64."""
    if not isinstance(layer, nn.Linear):
        values = values.movedim(1, -1)
    return values.flatten(0, -2).double()


@contextmanager
def _differentiable(weights: Sequence[Tensor]) -> Iterator[None]:
    """Gradients of these parameters for a while."""
    fixed = [weight for weight in weights if not weight.requires_grad]
    try:
        for weight in fixed:
            weight.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for weight in fixed:
            weight.requires_grad_(False)
