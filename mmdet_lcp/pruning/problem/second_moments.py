"""One pass over the selection set that fills the second moments of a group's consumers."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from mmengine import dist
from torch import Tensor, nn

from mmdet_lcp.least_squares.moments import Moments, patches
from mmdet_lcp.pruning.problem.parts import Part
from mmdet_lcp.pruning.problem.selection_batch import SelectionBatch
from mmdet_lcp.seeds import derive
from mmdet_lcp.selection.positions import Positions


@torch.no_grad()
def second_moments(
    parts: Mapping[str, Part], batches: Iterable[SelectionBatch], positions: Positions, seed: int
) -> dict[str, tuple[Moments, Moments]]:
    """Second moments of each part's inputs and original outputs, by the part's name.

    Two sets: three quarters of the images to fit on, and the others to try the fit on (the same
    ones twice, if there are fewer than four). All ranks add theirs up. Which images are held out,
    and where an image is looked at, follows from its number over all ranks: any number of ranks
    sees what one would (`SelectionBatch.numbers`).

    Of a layer that runs several times the rows of all runs are added up, each run with its share
    of the layer's outputs. Parts that read the same map in the same way are looked at in the same
    places, and have one matrix of their rows.

    Args:
        parts: of the consumers.
        batches: of this rank.
        positions: where to look.
        seed: for drawing positions.
    """
    sums: dict[str, tuple[Moments, Moments]] = {}
    together: list[list[str]] = []
    seen = 0
    for batch in batches:
        numbers = batch.numbers(seen)
        seen += batch.num_images
        drawn = _draw(positions, batch, parts, numbers, seed)
        now = _reading_the_same(parts, drawn)
        if not together:
            together = now
        elif now != together:  # not as on the batches before: each on its own from here on
            for names in together:
                for name in names[1:]:
                    sums[name] = tuple(some.apart() for some in sums[name])
            together = [[name] for name in parts]
        for names in together:
            _add(sums, batch, {name: parts[name] for name in names}, drawn[names[0]], numbers)
    moments = {name: sums[name] for name in parts}
    for names in together:
        for some in moments[names[0]]:
            some.complete()
        for name in names:
            for some in moments[name]:
                some.all_reduce(inputs=name == names[0])
    for name, (fit, held) in moments.items():
        if float(held.weight) == 0:
            moments[name] = (fit, fit)
    _share(moments)
    return moments


@dataclass
class _Draw:
    """Positions at which a run of a part is looked at.

    Attributes:
        inputs: what the run reads.
        kernel: what else says what lies under the kernel at a position.
        share: of the run in the layer's outputs.
        drawn_from: weights of all positions, (N, H' * W').
        chosen: of these, (N, P), on the device of the inputs.
        weights: of the chosen ones, (N, P), there.
    """

    inputs: Tensor
    kernel: tuple
    share: float
    drawn_from: Tensor
    chosen: Tensor
    weights: Tensor

    def same_rows(self, other: '_Draw') -> bool:
        """Whether the rows at its positions are those of another run."""
        return (
            self.inputs is other.inputs
            and self.kernel == other.kernel
            and self.share == other.share
            and self.chosen is other.chosen
        )


def _draw(
    positions: Positions,
    batch: SelectionBatch,
    parts: Mapping[str, Part],
    numbers: Tensor,
    seed: int,
) -> dict[str, list[_Draw]]:
    """Positions of each part's runs; runs that read the same map alike have theirs in common."""
    found: dict[str, list[_Draw]] = {}
    known: list[_Draw] = []
    for name, part in parts.items():
        found[name] = []
        for run, share in enumerate(batch.shares(part.path)):
            inputs = batch.inputs[part.path][run]
            size, items = _size(part, batch.targets[part.path][run])
            weights = _weights(positions, batch, part.path, run, size, items)
            for other in known:
                if other.inputs is inputs and torch.equal(other.drawn_from, weights):
                    chosen, own = other.chosen, other.weights
                    break
            else:
                owners = _number(batch, part.path, run, numbers, items)
                chosen, own = _chosen(weights, positions.per_image, owners, (seed, run))
                chosen, own = chosen.to(inputs.device), own.to(inputs.device)
            draw = _Draw(inputs, _kernel(part), share, weights, chosen, own)
            known.append(draw)
            found[name].append(draw)
    return found


def _reading_the_same(
    parts: Mapping[str, Part], drawn: Mapping[str, list[_Draw]]
) -> list[list[str]]:
    """Names of the parts, those together whose rows are the same in all runs.

    Alone where several ranks add theirs up: they have to do so alike.
    """
    if dist.get_world_size() > 1:
        return [[name] for name in parts]
    found: list[list[str]] = []
    for name in parts:
        for names in found:
            runs, others = drawn[name], drawn[names[0]]
            if len(runs) == len(others) and all(map(_Draw.same_rows, runs, others)):
                names.append(name)
                break
        else:
            found.append([name])
    return found


def _add(
    sums: dict[str, tuple[Moments, Moments]],
    batch: SelectionBatch,
    parts: Mapping[str, Part],
    draws: Sequence[_Draw],
    numbers: Tensor,
) -> None:
    """Add the rows that some parts have in common, and what each of them writes there."""
    first = next(iter(parts.values()))
    dtype = first.layer.module.weight.dtype
    for run, draw in enumerate(draws):
        x = _inputs(first, draw).to(dtype)
        weights = draw.weights * draw.share
        out = (_number(batch, first.path, run, numbers, len(x)) % 4 == 3).to(x.device)
        counts = weights > 0
        ys = {
            name: _outputs(part, batch.targets[part.path][run], draw.chosen).to(dtype)
            for name, part in parts.items()
        }
        for name, y in ys.items():
            if name not in sums:
                leader = sums.get(next(iter(parts)))
                sums[name] = tuple(
                    Moments.zeros(x.shape[-1], y.shape[-1], x.device)
                    if leader is None
                    else leader[number].with_outputs(y.shape[-1])
                    for number in range(2)
                )
        for number, images in enumerate((~out, out)):
            if images.any():
                some = counts & images.unsqueeze(1)
                rows, own = x[some], weights[some]
                for place, (name, y) in enumerate(ys.items()):
                    into = sums[name][number]
                    if not place:
                        into.add_inputs(rows, own)
                    into.add_outputs(rows, y[some], own)


def _share(moments: Mapping[str, tuple[Moments, Moments]]) -> None:
    """Let parts that turned out to read the same rows, over all ranks, have one matrix of them."""
    known: list[tuple[Moments, Moments]] = []
    for pair in moments.values():
        for other in known:
            both = list(zip(pair, other, strict=True))
            if all(torch.equal(a.x, b.x) and torch.equal(a.xx, b.xx) for a, b in both):
                for own, others in both:
                    own.weight, own.x, own.xx = others.weight, others.x, others.xx
                break
        else:
            known.append(pair)


def _number(batch: SelectionBatch, path: str, run: int, numbers: Tensor, items: int) -> Tensor:
    """The number of the image that each item belongs to; of items that do not say so, their own.

    Args:
        batch: the batch.
        path: of the consumer.
        run: of the consumer.
        numbers: of the batch's images.
        items: that the consumer reads.
    """
    owner = batch.owner(path, run)
    if owner is not None:
        return numbers[owner.cpu()]
    return numbers if items == batch.num_images else torch.arange(items)


def _chosen(
    weights: Tensor, count: int, owners: Tensor, key: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Positions (N, P) and their weights: ``count`` drawn ones, or all where there are no more.

    One that is drawn several times is there once, with the weight of all; images with fewer
    positions than others are filled up with some of no weight.

    Args:
        weights: of all positions, (N, P').
        count: >= 1.
        owners: number of the image of each item, (N,).
        key: the seed, and the number of the run.
    """
    if weights.shape[1] <= count:
        return torch.arange(weights.shape[1]).expand(len(weights), -1), weights
    seed, run = key
    chosen = []
    seen: Counter[int] = Counter()
    for row, owner in zip(weights, owners.tolist(), strict=True):
        own = derive(seed, 'positions', owner, run, seen[owner])
        seen[owner] += 1
        generator = torch.Generator().manual_seed(own)
        places = torch.multinomial(row, count, replacement=True, generator=generator)
        chosen.append(places.unique(return_counts=True))
    most = max(len(places) for places, _ in chosen)
    drawn = torch.zeros((len(chosen), most), dtype=torch.int64)
    shares = torch.zeros((len(chosen), most), dtype=torch.float64)
    for number, (places, times) in enumerate(chosen):
        drawn[number, : len(places)] = places
        shares[number, : len(places)] = times / count
    return drawn, shares


def _size(part: Part, target: Tensor) -> tuple[Sequence[int], int]:
    """Size of what a part writes, without channels, and the number of items.

    A position of a linear layer, whose channels come last, is one of a map (N, H, W, C), a token
    of (N, L, C), or all of (N, C).
    """
    if isinstance(part.layer.module, nn.Linear):
        return target.shape[1:-1], len(target)
    return target.shape[2:], len(target)


def _kernel(part: Part) -> tuple:
    """What says, beside the map, what lies under a part's kernel at a position."""
    module = part.layer.module
    if isinstance(module, nn.Linear):
        return ('linear',)
    inputs = part.inputs.start, part.inputs.stop
    return (*inputs, module.kernel_size, module.stride, module.padding, module.dilation)


def _inputs(part: Part, draw: _Draw) -> Tensor:
    """Rows (N, P, n) at the chosen positions."""
    module, inputs = part.layer.module, draw.inputs
    if isinstance(module, nn.Linear):
        return _tokens(inputs, draw.chosen)
    return patches(module, inputs[:, part.inputs], draw.chosen)


def _outputs(part: Part, target: Tensor, chosen: Tensor) -> Tensor:
    """Original outputs (N, P, out) at the chosen positions."""
    if isinstance(part.layer.module, nn.Linear):
        return _tokens(target, chosen)
    target = target[:, part.outputs].flatten(2)
    chosen = chosen.to(target.device)
    y = target.gather(2, chosen[:, None].expand(-1, target.shape[1], -1))
    return y.transpose(1, 2)


def _tokens(values: Tensor, chosen: Tensor) -> Tensor:
    """Rows (N, P, C) of values whose channels come last."""
    values = values.reshape(len(values), -1, values.shape[-1])
    item = torch.arange(len(values), device=values.device)[:, None]
    return values[item, chosen]


def _weights(
    positions: Positions,
    batch: SelectionBatch,
    path: str,
    run: int,
    size: Sequence[int],
    items: int,
) -> Tensor:
    """Weights of the positions of a layer's run, (N, P); see `Positions.weights`.

    Args:
        positions: where to look.
        batch: the batch.
        path: of the consumer.
        run: of the consumer.
        size: (height, width) of a map, (tokens,), or nothing; else the objects do not count.
        items: N, that the consumer reads.
    """
    boxes, sensitivity = batch.boxes, None
    if batch.sensitivity is not None and batch.sensitivity.get(path):
        sensitivity = batch.sensitivity[path][run]
    if boxes is None or len(boxes) != items:  # regions have no objects of their own
        boxes, sensitivity = None, None
    if len(size) != 2:
        boxes, size = None, (1, math.prod(size))
    if sensitivity is not None and sensitivity.shape[1] != math.prod(size):
        sensitivity = None  # in training there are more queries
    nothing = [torch.empty(0, 4)] * items
    return positions.weights(tuple(size), boxes or nothing, batch.img_shape, sensitivity)
