"""The selection problem of one channel group, as criteria and updates see it.

Loss (LCP, Xie et al., arXiv 1911.02237, criterion):

    L(W_C) = w * L_re + alpha * L_a      subject to |C| <= K

W are the kernels of the group's consumers (the paper's layer l+1), C the channels that stay,
L_re the reconstruction of the consumers' outputs in the original detector, L_a the loss of the
auxiliary network on the first consumer's output. Only W is differentiated: what runs before the
consumers is computed without gradients and never past the last consumer. DCP (Zhuang et al.,
NeurIPS 2018) has in the place of L_a a loss read further down, for which the detector runs on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from mmengine import dist
from torch import Tensor, nn
from torch.func import functional_call

from mmdet_lcp.attachments import Attachment, AuxiliaryNetwork, RoISamples
from mmdet_lcp.criteria.checks import check_not_negative
from mmdet_lcp.criteria.images import SelectionImages, attached_losses
from mmdet_lcp.criteria.moments import Moments
from mmdet_lcp.criteria.positions import Positions
from mmdet_lcp.criteria.second_moments import second_moments
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.losses import reconstruction_loss

Weights = dict[str, Tensor]

TERMS = ('reconstruction', 'classification', 'regression')


@dataclass
class Objective:
    """Weights of the terms of L.

    Attributes:
        reconstruction: w, factor of L_re, >= 0 (the paper has 1; 0 leaves the term out).
        alpha: factor of L_a, >= 0. "A constant" in the paper; 1.0 is our reading, DCP's lambda.
    """

    reconstruction: float = 1.0
    alpha: float = 1.0

    def __post_init__(self) -> None:
        for key in ('reconstruction', 'alpha'):
            check_not_negative(f'pruning.objective.{key}', getattr(self, key))
        if self.reconstruction == 0 and self.alpha == 0:
            raise CompressionError(
                'pruning.objective: reconstruction and alpha are both 0, nothing is left to score'
            )


@dataclass
class Layer:
    """A layer that reads, writes or scales the group's channels.

    Attributes:
        module: convolution, linear layer or, among the group's norms, a per-channel module.
        index: its channels that belong to the group, as they are numbered now (input channels of
            a consumer, output channels of a producer or norm), ...
        root: ... and the group's channel of each.
        norm: of a consumer, the batch norm that reads its output directly, or ``None``.
    """

    module: nn.Module
    index: Tensor
    root: Tensor
    norm: nn.Module | None = None

    @property
    def intercept(self) -> bool:
        """Whether something can take up a shift of the output: a bias, or the batch norm."""
        return getattr(self.module, 'bias', None) is not None or self.norm is not None


@dataclass
class SelectionBatch:
    """What one batch of images gives for one group.

    Attributes:
        inputs: input of each consumer in the present detector, by path, (N, C, H, W).
        targets: output of each consumer in the original detector, by path, (N, C', H', W').
        samples: regions for the auxiliary network, or ``None`` without one.
        boxes: the objects of each image, (G, 4) as (x1, y1, x2, y2) in pixels of the batch image.
        img_shape: (height, width) of the batch image in pixels.
        sensitivity: squared gradient of the original detector's loss at each output position,
            summed over channels, (N, H' * W') by path; ``None`` unless asked for.
        images: the images themselves, for losses that run the detector.
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    samples: RoISamples | None
    boxes: list[Tensor] | None = None
    img_shape: tuple[int, int] = (0, 0)
    sensitivity: dict[str, Tensor] | None = None
    images: SelectionImages | None = None

    @property
    def num_images(self) -> int:
        """Images in the batch."""
        return len(next(iter(self.inputs.values())))

    def tensors(self) -> Iterator[Tensor]:
        """All large tensors."""
        yield from self.inputs.values()
        yield from self.targets.values()


class BatchCache:
    """Batches that are computed on the first pass and kept as long as they fit.

    Args:
        compute: yields the batches anew, the same ones each time.
        limit: bytes that may be kept; a larger selection set is computed again on each pass.
    """

    def __init__(
        self, compute: Callable[[], Iterable[SelectionBatch]], limit: int = 2 << 30
    ) -> None:
        self._compute, self._limit = compute, limit
        self._kept: list[SelectionBatch] | None = None

    def clear(self) -> None:
        """Forget the batches: the detector before the consumers has changed."""
        self._kept = None

    def __iter__(self) -> Iterator[SelectionBatch]:
        """One pass over all batches of this rank."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[SelectionBatch] | None = []
        size = 0
        for batch in self._compute():
            size += sum(tensor.numel() * tensor.element_size() for tensor in batch.tensors())
            if size > self._limit:
                kept = None
            if kept is not None:
                kept.append(batch)
            yield batch
        self._kept = kept


@dataclass
class Gradients:
    """L and its gradient, averaged over the selection images of all ranks.

    Attributes:
        losses: value of each term, weights included, by term.
        total: gradient of L with respect to each consumer's kernel, by path.
        by_term: each term's own gradient, over the batches on which it was taken apart.
    """

    losses: dict[str, float]
    total: Weights
    by_term: dict[str, Weights] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """L."""
        return sum(self.losses.values())


@dataclass
class SelectionProblem:
    """Everything that a criterion or an update may ask about one group.

    Attributes:
        name: the group's name.
        channels: the group's number of channels.
        consumers: layers that read the group, by path; the first one carries the auxiliary
            network.
        producers: layers that write it, by path, in order of execution.
        norms: per-channel modules between, by path.
        batches: the selection set of this rank; may be passed over several times.
        objective: weights of the terms of L.
        auxiliary: frozen auxiliary network on the first consumer's output, or ``None``.
        seed: for criteria that draw at random; the same on every rank.
        positions: where the second moments look.
        detector: the present detector, in eval mode while it is asked for losses.
        images: the selection images of this rank, for criteria that need the detector's own loss.
        metrics: E[g g'] of the gradient g of the original detector's loss at a consumer's output,
            (out, out) by path, over all positions of all ranks; ``None`` unless asked for.
        attached: frozen attachment whose losses on the detector, with the consumers' kernels
            replaced, are terms of L; or ``None``. Gradients take the way through all layers
            between the consumers and what it reads.
        round_up: the least number of channels that may stay and is not below a given one, for
            criteria that stop before the budget is used up.
    """

    name: str
    channels: int
    consumers: dict[str, Layer]
    producers: dict[str, Layer]
    batches: BatchCache
    objective: Objective
    auxiliary: AuxiliaryNetwork | None = None
    seed: int = 0
    norms: dict[str, Layer] = field(default_factory=dict)
    positions: Positions = field(default_factory=Positions)
    detector: nn.Module | None = None
    images: Sequence[SelectionImages] = ()
    metrics: dict[str, Tensor] | None = None
    attached: Attachment | None = None
    round_up: Callable[[int], int] = int

    def __post_init__(self) -> None:
        self._moments: dict[str, tuple[Moments, Moments]] | None = None

    def inputs_changed(self) -> None:
        """Forget what was computed from the consumers' inputs."""
        self.batches.clear()
        self._moments = None

    @torch.no_grad()
    def moments(self) -> dict[str, tuple[Moments, Moments]]:
        """Second moments of each consumer's inputs and original outputs, by path.

        Two sets: three quarters of the images to fit on, and the others to try the fit on (the
        same ones twice, if a rank has fewer than four). All ranks add theirs up.
        """
        if self._moments is None:
            self._moments = second_moments(self)
        return self._moments

    def weights(self) -> Weights:
        """Copies of the consumers' kernels as they are now, by path."""
        return {path: c.module.weight.detach().clone() for path, c in self.consumers.items()}

    def masked(self, weights: Weights, channels: Iterable[int]) -> Weights:
        """The kernels with all of the group's other channels at zero: W_C."""
        stay = torch.zeros(self.channels, dtype=torch.bool)
        stay[list(channels)] = True
        masked = {}
        for path, weight in weights.items():
            consumer = self.consumers[path]
            mask = torch.ones(weight.shape[1], dtype=weight.dtype, device=weight.device)
            mask[consumer.index] = stay.to(weight.device)[consumer.root].to(mask)
            masked[path] = weight * mask.view(1, -1, *[1] * (weight.dim() - 2))
        return masked

    def per_channel(self, values: Weights) -> Tensor:
        """Sum of squares over each group channel's kernels, over all consumers: (channels,).

        With gradients this is S_k = sum_ij ||dL / dW_kij||^2 (LCP, sensitivity of channel k).
        """
        total = torch.zeros(self.channels, dtype=torch.float64)
        for path, value in values.items():
            consumer = self.consumers[path]
            dims = [dim for dim in range(value.dim()) if dim != 1]
            squares = value.double().square().sum(dims)[consumer.index].cpu()
            total.index_add_(0, consumer.root.cpu(), squares)
        return total

    def terms(self, batch: SelectionBatch, weights: Weights) -> dict[str, Tensor]:
        """The weighted terms of L on one batch, each a scalar; zero terms are left out."""
        outputs = {
            path: functional_call(self.consumers[path].module, {'weight': weight}, (x,))
            for path, weight in weights.items()
            for x in [batch.inputs[path]]
        }
        losses = {}
        if self.objective.reconstruction:
            losses['reconstruction'] = self.objective.reconstruction * sum(
                reconstruction_loss(batch.targets[path], output)
                for path, output in outputs.items()
            )
        if self.objective.alpha and self.auxiliary is not None:
            first = outputs[next(iter(self.consumers))]
            auxiliary = self.auxiliary(first, batch.samples)
            if self.auxiliary.loss.cls_weight:
                losses['classification'] = self.objective.alpha * auxiliary['loss_aux_cls']
            if self.auxiliary.loss.box_weight:
                losses['regression'] = self.objective.alpha * auxiliary['loss_aux_box']
        if self.objective.alpha and self.attached is not None:
            found = attached_losses(self.detector, self.attached, batch.images, weights)
            for name, value in found.items():
                losses[name.removeprefix('loss_')] = self.objective.alpha * value
        if not losses:
            raise CompressionError(
                f'{self.name}: pruning.objective leaves no term: reconstruction is 0 and there '
                'is no auxiliary network (pruning.attachment)'
            )
        return losses

    @torch.no_grad()
    def loss(self, weights: Weights) -> float:
        """L at given kernels, averaged over all images of all ranks."""
        total = torch.zeros(2, dtype=torch.float64)
        for batch in self.batches:
            value = float(sum(self.terms(batch, weights).values()))
            total += torch.tensor([value * batch.num_images, batch.num_images])
        dist.all_reduce(total)
        return float(total[0] / total[1])

    def gradients(
        self,
        weights: Weights,
        apart: int | None = 0,
        batches: Iterable[SelectionBatch] | None = None,
    ) -> Gradients:
        """L and its gradient at given kernels, averaged over all images.

        Args:
            weights: kernels by path.
            apart: on so many of this rank's batches each term's gradient is also taken on its
                own, which costs a backward pass a term; ``None`` for all.
            batches: of this rank, instead of all; every rank gives some.
        """
        leaves = {path: weight.detach().requires_grad_(True) for path, weight in weights.items()}
        total = _ImageMean(leaves)
        by_term: dict[str, _ImageMean] = {}
        losses: dict[str, Tensor] = {}
        for number, batch in enumerate(self.batches if batches is None else batches):
            with torch.enable_grad():
                terms = self.terms(batch, leaves)
                loss = sum(terms.values())
            for term, value in terms.items():
                losses[term] = losses.get(term, 0) + value.detach().double() * batch.num_images
            if apart is None or number < apart:
                found = {term: _grad(value, leaves) for term, value in terms.items()}
                for term, gradient in found.items():
                    by_term.setdefault(term, _ImageMean(leaves)).add(gradient, batch.num_images)
                summed = [sum(parts) for parts in zip(*found.values(), strict=True)]
                total.add(summed, batch.num_images)
            else:
                total.add(_grad(loss, leaves), batch.num_images)
        count = total.finish()
        for mean in by_term.values():
            mean.finish()
        for value in losses.values():
            dist.all_reduce(value)
        return Gradients(
            {term: float(value.cpu()) / count for term, value in losses.items()},
            total.sums,
            {term: mean.sums for term, mean in by_term.items()},
        )

    def descend(
        self, weights: Weights, channels: Iterable[int], lr: float, steps: int
    ) -> tuple[Weights, list[float]]:
        """W_C <- W_C - lr dL/dW_C, repeated; never ends at a larger L than it began with.

        The paper gives no lr. A step that increases L is taken back and lr halved; one that
        decreases it lets lr grow by a fifth (our reading: "bold driver").

        Args:
            weights: kernels by path.
            channels: C; the kernels of all others are zero and stay zero.
            lr: first step size, > 0.
            steps: passes over the selection set, >= 0.

        Returns:
            The new kernels, and L after each step that was kept, the initial one first.
        """
        channels = list(channels)
        best = self.masked(weights, channels)
        if steps == 0:
            return best, []
        found = self.gradients(best)
        history = [found.loss]
        for _ in range(steps):
            gradient = self.masked(found.total, channels)
            trial = {path: weight - lr * gradient[path] for path, weight in best.items()}
            tried = self.gradients(trial)
            if tried.loss < found.loss:
                best, found = trial, tried
                history.append(found.loss)
                lr *= 1.2
            else:
                lr *= 0.5
        return best, history

    @torch.no_grad()
    def write(self, weights: Weights) -> None:
        """Put kernels into the consumers."""
        for path, weight in weights.items():
            self.consumers[path].module.weight.copy_(weight)


def _grad(loss: Tensor, leaves: Weights) -> list[Tensor]:
    """Gradient for each leaf, zeros where the loss does not reach it; the graph stays."""
    found = torch.autograd.grad(loss, list(leaves.values()), retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(leaf) if gradient is None else gradient
        for gradient, leaf in zip(found, leaves.values(), strict=True)
    ]


class _ImageMean:
    """A mean over images of tensors that come as means over batches, on all ranks."""

    def __init__(self, like: Weights) -> None:
        self.sums = {
            path: torch.zeros_like(leaf, requires_grad=False) for path, leaf in like.items()
        }
        self.images = 0

    def add(self, values: list[Tensor], images: int) -> None:
        for into, value in zip(self.sums.values(), values, strict=True):
            into += value.detach() * images
        self.images += images

    def finish(self) -> float:
        """Divide; returns the number of images."""
        count = torch.tensor(float(self.images), dtype=torch.float64)
        dist.all_reduce(count)
        for into in self.sums.values():
            dist.all_reduce(into)
            into /= float(count)
        return float(count)
