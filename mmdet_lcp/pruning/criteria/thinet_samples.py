"""ThiNet's samples: what each channel of a group contributes to single output activations.

ThiNet (Luo et al., ICCV 2017), section 3.2.1. Criterion and update both work on the Gram matrix of
the same samples, and see nothing else.
"""

from dataclasses import dataclass

import numpy as np
import torch
from mmengine import dist
from torch import Tensor, nn

from mmdet_lcp.least_squares.moments import patches
from mmdet_lcp.pruning.problem.parts import Part, parts_of
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import SelectionBatch


@dataclass
class SampleMoments:
    """Products of the samples, added up over all consumers, images and ranks; float64, CPU.

    A row x holds the contributions of the group's channels to one activation, y is the original
    detector's activation without what else goes into it.

    Attributes:
        count: number of samples.
        xx: (channels, channels), X'X.
        xy: (channels,), X'y.
        yy: y'y.
    """

    count: int
    xx: Tensor
    xy: Tensor
    yy: float


@torch.no_grad()
def sample_moments(problem: SelectionProblem, samples_per_image: int) -> SampleMoments:
    """Sample (image, filter, location) at random and add up the products of the rows.

    ``samples_per_image`` of each image are drawn at each consumer, without repeats, or all that
    there are. What is drawn depends on `SelectionProblem.seed`, the image's number over all ranks
    and the consumer alone: criterion and update look at the same places, and any number of ranks
    sees what one would (`SelectionBatch.numbers`).

    Behind RoIs, where a consumer's items are not the images, each item gets its share of the
    samples, rounded up; so does each run of a consumer that runs several times, and each group of
    a grouped convolution.

    Args:
        problem: a group's selection problem.
        samples_per_image: >= 1.

    Raises:
        CompressionError: a consumer pads otherwise than with zeros.
    """
    sums = torch.zeros(problem.channels + 1, problem.channels + 1, dtype=torch.float64)
    count = torch.zeros((), dtype=torch.int64)
    seen = 0
    for batch in problem.batches:
        numbers = batch.numbers(seen).tolist()
        seen += batch.num_images
        for position, (path, consumer) in enumerate(problem.consumers.items()):
            for run in range(len(batch.targets[path])):
                key = (problem.seed, position) if run == 0 else (problem.seed, position, run)
                parts = list(parts_of(path, consumer).values())
                for number, part in enumerate(parts):
                    own = key if len(parts) == 1 else (problem.seed, position, run, number)
                    rows = _rows(problem, part, batch, run, numbers, own, samples_per_image)
                    sums += (rows.T @ rows).cpu()
                    count += len(rows)
    dist.all_reduce(sums)
    dist.all_reduce(count)
    return SampleMoments(int(count), sums[:-1, :-1], sums[:-1, -1], float(sums[-1, -1]))


def _rows(
    problem: SelectionProblem,
    part: Part,
    batch: SelectionBatch,
    run: int,
    numbers: list[int],
    key: tuple[int, ...],
    samples_per_image: int,
) -> Tensor:
    """Samples of one run on one batch, (samples, channels + 1), float64; y comes last."""
    consumer, path = part.layer, part.path
    module = consumer.module
    weight = module.weight.flatten(1)
    inputs, target = batch.inputs[path][run], batch.targets[path][run]
    if isinstance(module, nn.Conv2d):
        inputs, target = inputs[:, part.inputs], target[:, part.outputs]
    inputs, target = inputs.to(weight.dtype), target.to(weight.dtype)
    items, filters = len(target), weight.shape[0]
    # Output positions last, as in a flattened map; a linear layer has one for each of its rows.
    target = target.flatten(2) if isinstance(module, nn.Conv2d) else _tokens(target).mT
    places = target.shape[2]

    own, all_ = target.numel(), sum(each.numel() for each in batch.targets[path])
    wanted = -(-samples_per_image * len(numbers) * own // (items * all_))
    per_item = [(number, 0) for number in numbers]
    if items != len(numbers):
        per_item = [(numbers[0], item) for item in range(items)]
    drawn = [
        np.random.default_rng((*key, *item)).choice(
            filters * places, min(wanted, filters * places), replace=False
        )
        for item in per_item
    ]
    drawn = torch.from_numpy(np.stack(drawn)).to(target.device)
    filter_, place = drawn // places, drawn % places  # (items, samples)

    if isinstance(module, nn.Conv2d):
        under = patches(module, inputs, place)
    else:
        under = _tokens(inputs).gather(1, place[:, :, None].expand(-1, -1, inputs.shape[-1]))
    products = under * weight[filter_]
    parts = products.unflatten(2, (module.weight.shape[1], -1)).sum(3).flatten(0, 1).double()

    item = torch.arange(items, device=target.device)[:, None]
    y = target[item, filter_, place].flatten().double()
    if module.bias is not None:
        y = y - module.bias[filter_].flatten().double()
    others = torch.ones(parts.shape[1], dtype=torch.bool, device=parts.device)
    others[consumer.index] = False
    y = y - parts[:, others].sum(1)
    rows = parts.new_zeros(len(parts), problem.channels + 1)
    rows.index_add_(1, consumer.root, parts[:, consumer.index])
    rows[:, -1] = y
    return rows


def _tokens(rows: Tensor) -> Tensor:
    """A linear layer's input or output as (items, rows of each, features)."""
    return rows.flatten(1, -2) if rows.dim() > 2 else rows[:, None]
