"""One pass over the selection set that fills the second moments of a group's consumers."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from mmdet_lcp.least_squares.moments import Moments, patches
from mmdet_lcp.pruning.problem.parts import Part
from mmdet_lcp.pruning.problem.selection_batch import SelectionBatch
from mmdet_lcp.selection.positions import Positions


@torch.no_grad()
def second_moments(
    parts: Mapping[str, Part], batches: Iterable[SelectionBatch], positions: Positions, seed: int
) -> dict[str, tuple[Moments, Moments]]:
    """Second moments of each part's inputs and original outputs, by the part's name.

    Two sets: three quarters of the images to fit on, and the others to try the fit on (the same
    ones twice, if a rank has fewer than four). All ranks add theirs up. Of a layer that runs
    several times the rows of all runs are added up, each run with its share of the layer's
    outputs.

    Args:
        parts: of the consumers.
        batches: of this rank.
        positions: where to look.
        seed: for drawing positions.
    """
    generator = torch.Generator().manual_seed(seed)
    fit: dict[str, Moments] = {}
    held: dict[str, Moments] = {}
    seen = 0
    for batch in batches:
        numbers = torch.arange(seen, seen + batch.num_images)
        seen += batch.num_images
        for name, part in parts.items():
            dtype = part.layer.module.weight.dtype
            for run, share in enumerate(batch.shares(part.path)):
                x, y, weights = _rows(positions, batch, part, run, generator)
                x, y = x.to(dtype), y.to(dtype)
                if name not in fit:
                    fit[name] = Moments.zeros(x.shape[-1], y.shape[-1], x.device)
                    held[name] = Moments.zeros(x.shape[-1], y.shape[-1], x.device)
                out = _number(batch, part.path, run, numbers, len(x)) % 4 == 3
                for moments, some in ((fit[name], ~out), (held[name], out)):
                    if some.any():
                        some = some.to(x.device)
                        moments.add(
                            x[some].flatten(0, 1),
                            y[some].flatten(0, 1),
                            weights[some].flatten() * share,
                        )
    for name in parts:
        fit[name].all_reduce()
        held[name].all_reduce()
        if float(held[name].weight) == 0:
            held[name] = fit[name]
    moments = {name: (fit[name], held[name]) for name in parts}
    _share(moments)
    return moments


def _share(moments: Mapping[str, tuple[Moments, Moments]]) -> None:
    """Let parts that turned out to read the same rows have one matrix of them.

    Two heads on a map with no more positions than are drawn do.
    """
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


def _rows(
    positions: Positions,
    batch: SelectionBatch,
    part: Part,
    run: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (N, P, n), original outputs (N, P, out) and weights (N, P) of a part's run.

    A position of a linear layer, whose channels come last, is one of a map (N, H, W, C), a token
    of (N, L, C), or all of (N, C).
    """
    path, module = part.path, part.layer.module
    inputs, target = batch.inputs[path][run], batch.targets[path][run]
    linear = isinstance(module, nn.Linear)
    if linear:
        size = target.shape[1:-1]
        inputs, target = (v.reshape(len(v), -1, v.shape[-1]) for v in (inputs, target))
    else:
        size = target.shape[2:]
        inputs, target = inputs[:, part.inputs], target[:, part.outputs]
    weights = _weights(positions, batch, path, run, size, len(target))
    count = weights.shape[1]
    if count > positions.per_image:
        chosen = torch.multinomial(
            weights, positions.per_image, replacement=True, generator=generator
        )
        weights = torch.full(chosen.shape, 1.0 / positions.per_image, dtype=torch.float64)
    else:
        chosen = torch.arange(count).expand(len(target), -1)
    chosen, weights = chosen.to(target.device), weights.to(target.device)
    if linear:
        item = torch.arange(len(target), device=target.device)[:, None]
        return inputs[item, chosen], target[item, chosen], weights
    x = patches(module, inputs, chosen)
    y = target.flatten(2).gather(2, chosen[:, None].expand(-1, target.shape[1], -1))
    return x, y.transpose(1, 2), weights


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
