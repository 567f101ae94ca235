"""The selection problem of one channel group, as criteria and updates see it.

Loss (LCP, Xie et al., arXiv 1911.02237, criterion):

    L(W_C) = sum of terms      subject to |C| <= K

W are the kernels of the group's consumers (the paper's layer l+1), C the channels that stay. The
terms are objects (`LossTerm`) that the problem knows nothing of. LCP's are w * L_re, the
reconstruction of the consumers' outputs in the original detector, and alpha * L_a, the loss of an
auxiliary network on the first consumer's output. Only W is differentiated: what runs before the
consumers is computed without gradients and never past the last consumer, unless a term reads
further down, as that of DCP (Zhuang et al., NeurIPS 2018): for it the detector runs on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from mmengine import dist
from torch import Tensor, nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.least_squares.moments import Moments
from mmdet_lcp.pruning.problem.gradients import Gradients, Weights, mean_gradients
from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.narrowed import columns_of, narrowed, output_of
from mmdet_lcp.pruning.problem.parts import Part, parts_of
from mmdet_lcp.pruning.problem.reconstruction import Reconstruction
from mmdet_lcp.pruning.problem.replaced_kernels import Shortcut, outputs_with, shortcut_of
from mmdet_lcp.pruning.problem.second_moments import second_moments
from mmdet_lcp.pruning.problem.selection_batch import (
    BatchCache,
    SelectionBatch,
    channels_together,
)
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.loss_term import Candidate, LossTerm
from mmdet_lcp.selection.positions import Positions


@dataclass
class SelectionProblem:
    """Everything that a criterion or an update may ask about one group.

    Attributes:
        name: the group's name.
        channels: the group's number of channels.
        consumers: layers that read the group, by path, in order of execution.
        producers: layers that write it, by path, in order of execution.
        norms: per-channel modules between, by path.
        batches: the selection set of this rank; may be passed over several times.
        terms: of L, in the order in which they are added up.
        seed: for criteria that draw at random; the same on every rank.
        positions: where the second moments look.
        detector: the present detector, in eval mode while it is asked for losses.
        images: the selection images of this rank, for criteria that need the detector's own loss.
        metrics: E[g g'] of the gradient g of the original detector's loss at a consumer's output,
            (out, out) by path, over all positions of all ranks; ``None`` unless asked for.
        round_up: the least number of channels that may stay and is not below a given one, for
            criteria that stop before the budget is used up.
        positions_that_count: of an image at a consumer, by path (`coherence`); of those that are
            not there all count.
    """

    name: str
    channels: int
    consumers: dict[str, Layer]
    producers: dict[str, Layer]
    batches: BatchCache
    terms: Sequence[LossTerm] = field(default_factory=lambda: [Reconstruction()])
    seed: int = 0
    norms: dict[str, Layer] = field(default_factory=dict)
    positions: Positions = field(default_factory=Positions)
    detector: nn.Module | None = None
    images: Sequence[SelectionImages] = ()
    metrics: dict[str, Tensor] | None = None
    round_up: Callable[[int], int] = int
    positions_that_count: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._moments: dict[str, tuple[Moments, Moments]] | None = None
        self._written: dict[str, float] | None = None

    def inputs_changed(self) -> None:
        """Forget what was computed from the consumers' inputs."""
        self.batches.clear()
        self._moments = None

    def parts(self) -> dict[str, Part]:
        """The consumers, those with groups as one part a group; by path, or ``'path[group]'``."""
        return {
            name: part
            for path, layer in self.consumers.items()
            for name, part in parts_of(path, layer).items()
        }

    @torch.no_grad()
    def moments(self) -> dict[str, tuple[Moments, Moments]]:
        """Second moments of each consumer's inputs and original outputs, by name of `parts`.

        To fit on and to try the fit on; see `second_moments`.

        Raises:
            CompressionError: they are not finite; the consumer is named.
        """
        if self._moments is None:
            batches = self._counted(self.batches.once())
            found = second_moments(self.parts(), batches, self.positions, self.seed)
            for name, moments in found.items():
                if not all(part.finite for part in moments):
                    raise CompressionError(
                        f'{self.name}: what {name} reads or writes on the selection images is '
                        'not finite (nan or inf). Look at the images and at the weights; a '
                        'training that has diverged leaves such weights.'
                    )
            self._moments = found
        return self._moments

    def outputs_per_image(self) -> dict[str, float]:
        """Positions of an image at which each consumer writes, in all its runs, over all ranks."""
        if self._written is None:
            for _ in self._counted(self.batches):
                pass
        return self._written

    def _counted(self, batches: Iterable[SelectionBatch]) -> Iterator[SelectionBatch]:
        """The same batches; `outputs_per_image` is known behind the last one."""
        sums = torch.zeros(len(self.consumers) + 1, dtype=torch.float64)
        for batch in batches:
            for number, (path, layer) in enumerate(self.consumers.items()):
                written = sum(target.numel() for target in batch.targets[path])
                sums[number] += written / len(layer.filters(layer.module.weight))
            sums[-1] += batch.num_images
            yield batch
        dist.all_reduce(sums)
        self._written = {p: float(sums[i] / sums[-1]) for i, p in enumerate(self.consumers)}

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
            mask = torch.ones(consumer.inputs, dtype=weight.dtype, device=weight.device)
            mask[consumer.index] = stay.to(weight.device)[consumer.root].to(mask)
            masked[path] = weight * consumer.spread(mask)
        return masked

    def per_channel(self, values: Weights) -> Tensor:
        """Sum of squares over each group channel's kernels, over all consumers: (channels,).

        With gradients this is S_k = sum_ij ||dL / dW_kij||^2 (LCP, sensitivity of channel k).
        """
        total = torch.zeros(self.channels, dtype=torch.float64)
        for path, value in values.items():
            consumer = self.consumers[path]
            squares = consumer.by_input(value.double().square())[consumer.index].cpu()
            total.index_add_(0, consumer.root.cpu(), squares)
        return total

    def losses(
        self, batch: SelectionBatch, weights: Weights, among: Iterable[int] | None = None
    ) -> dict[str, Tensor]:
        """The weighted losses of all terms on one batch, each a scalar, by name.

        Args:
            batch: of this problem.
            weights: kernels of all consumers, by path.
            among: the group's channels outside of which the kernels are zero, and gradients are
                not wanted: the consumers then run without the others. ``None`` for all.

        Raises:
            CompressionError: no term has a weight, two have losses of the same name, or one is
                no scalar.
        """
        columns = dict.fromkeys(self.consumers)
        if among is not None:
            stay = torch.zeros(self.channels, dtype=torch.bool)
            stay[list(among)] = True
            columns = {path: columns_of(layer, stay) for path, layer in self.consumers.items()}
        if self._together():
            for runs in batch.targets.values():
                runs[:] = map(channels_together, runs)
        candidate = Candidate(
            kernels={path: weights[path] for path in self.consumers},
            targets=batch.targets,
            images=batch.images,
            samples=batch.samples,
            run=lambda path: [
                output_of(self.consumers[path].module, weights[path], x, columns[path])
                for x in self._inputs(batch, path, columns[path])
            ],
            read=lambda: self._read(batch, weights, candidate),
        )
        found: dict[str, Tensor] = {}
        for term in self._weighed():
            for name, value in term.losses(candidate).items():
                self._check_loss(term, name, value, found)
                found[name] = term.weight * value
        if not found:
            raise CompressionError(
                f'{self.name}: pruning.objective leaves no term: reconstruction is 0, there is no '
                'auxiliary network (pruning.attachment) and no term of your own'
            )
        return found

    @torch.no_grad()
    def loss(
        self,
        weights: Weights,
        batches: Iterable[SelectionBatch] | None = None,
        among: Iterable[int] | None = None,
    ) -> float:
        """L at given kernels, averaged over all images of all ranks.

        Args:
            weights: kernels by path.
            batches: of this rank, instead of all; every rank gives some.
            among: see `losses`.
        """
        chosen = self.batches if batches is None else batches
        total = sum(self._sum_of(batch, weights, among) for batch in chosen)
        dist.all_reduce(total)
        return float(total[0] / total[1])

    @torch.no_grad()
    def losses_by_batch(
        self, weights: Weights, among: Iterable[int] | None = None
    ) -> tuple[list[float], float]:
        """L at given kernels on each of this rank's batches, with those of all ranks, and on all.

        Args:
            weights: kernels by path.
            among: see `losses`.
        """
        sums = torch.stack([self._sum_of(batch, weights, among) for batch in self.batches])
        dist.all_reduce(sums)
        total = sums.sum(0)
        return (sums[:, 0] / sums[:, 1]).tolist(), float(total[0] / total[1])

    def _sum_of(
        self, batch: SelectionBatch, weights: Weights, among: Iterable[int] | None
    ) -> Tensor:
        """L of a batch's images, added up, and their number."""
        value = float(sum(self.losses(batch, weights, among).values()))
        return torch.tensor([value, 1.0], dtype=torch.float64) * batch.num_images

    def gradients(
        self,
        weights: Weights,
        apart: int | None = 0,
        batches: Iterable[SelectionBatch] | None = None,
        among: Iterable[int] | None = None,
    ) -> Gradients:
        """L and its gradient at given kernels, averaged over all images.

        Args:
            weights: kernels by path.
            apart: on so many of this rank's batches each term's gradient is also taken on its
                own, which costs a backward pass a term; ``None`` for all.
            batches: of this rank, instead of all; every rank gives some.
            among: see `losses`.
        """
        chosen = self.batches if batches is None else batches
        return mean_gradients(partial(self.losses, among=among), chosen, weights, apart)

    @torch.no_grad()
    def write(self, weights: Weights) -> None:
        """Put kernels into the consumers."""
        for path, weight in weights.items():
            self.consumers[path].module.weight.copy_(weight)

    def _check_loss(
        self, term: LossTerm, name: str, value: Tensor, found: Mapping[str, Tensor]
    ) -> None:
        """Check what a term gives: somebody else may have written it."""
        kind = type(term).__name__
        if name in found:
            raise CompressionError(
                f'{self.name}: two terms of the loss have the name {name!r}; give that of {kind} '
                'another one'
            )
        if not isinstance(value, Tensor) or value.dim():
            what = f'of shape {tuple(value.shape)}' if isinstance(value, Tensor) else repr(value)
            raise CompressionError(
                f'{self.name}: the loss {name!r} of {kind} must be a scalar tensor, but is {what}'
            )

    def _weighed(self) -> list[LossTerm]:
        """The terms that have a weight."""
        return [term for term in self.terms if term.weight]

    def _together(self) -> bool:
        """Whether maps lie channels last: it pays where the detector runs on from them."""
        return bool(self._paths()) and all(term.any_strides for term in self._weighed())

    def _paths(self) -> list[str]:
        """The modules that some term reads, each once."""
        return list(dict.fromkeys(path for term in self._weighed() for path in term.paths))

    def _inputs(self, batch: SelectionBatch, path: str, columns: Tensor | None) -> list[Tensor]:
        """What a consumer reads of a batch, kept with it where there is room; see `columns_of`."""
        together = self._together()
        if columns is None and not together:
            return batch.inputs[path]
        before, found = batch.looked_at.get(path, (None, None))
        if found is not None and _equal(before, columns):
            return found
        module, inputs = self.consumers[path].module, batch.inputs[path]
        found = [narrowed(module, x, columns) for x in inputs]
        if together:
            found = list(map(channels_together, found))
        size = sum(x.numel() * x.element_size() for x in inputs)
        if path in batch.looked_at or self.batches.room_for(size):
            batch.looked_at[path] = (columns, found)
        return found

    def _read(
        self, batch: SelectionBatch, weights: Weights, candidate: Candidate
    ) -> dict[str, Tensor]:
        """What terms read of the detector with some kernels, see `Candidate.taps`."""
        shortcut = self._shortcut(batch)
        found = outputs_with(
            self.detector,
            self._paths(),
            batch.images,
            weights,
            shortcut,
            lambda path: candidate.outputs(path)[0],
        )
        return {path: output.contiguous() for path, output in found.items()}

    def _shortcut(self, batch: SelectionBatch) -> Shortcut | None:
        """What need not run again on a batch, kept with it where there is room."""
        if batch.shortcut is None:
            if not self.batches.room_for(0):
                return None
            found = shortcut_of(
                self.detector,
                self._paths(),
                batch.images,
                {path: layer.module for path, layer in self.consumers.items()},
                {path: runs[0] for path, runs in batch.inputs.items()},
            )
            fits = self.batches.room_for(found.upstream.size)
            batch.shortcut = found if fits else found.without()
        return batch.shortcut


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether both are the same columns, or both all."""
    if one is None or other is None:
        return one is other
    return torch.equal(one, other)
