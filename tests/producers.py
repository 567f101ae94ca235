"""Groups whose producers and batch norms a test can score by hand."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.selection_batch import BatchCache

Maps = dict[str, tuple[nn.Module, list[int], list[int]]]


def make(producers: Maps, channels: int, norms: Maps | None = None, **more) -> SelectionProblem:
    """A group without consumers; layers as (module, index, root)."""

    def layers(maps: Maps) -> dict[str, Layer]:
        return {
            path: Layer(module, torch.tensor(index), torch.tensor(root))
            for path, (module, index, root) in maps.items()
        }

    return SelectionProblem(
        name='some.group',
        channels=channels,
        consumers={},
        producers=layers(producers),
        norms=layers(norms or {}),
        batches=BatchCache(list),
        **more,
    )


def three_producers(seed: int = 0) -> Maps:
    """Five channels that three layers write together.

    - ``conv`` in order;
    - ``wide``, a convolution of eight channels, three of them not the group's, in another order;
    - ``fc``, a linear layer with two outputs a channel, in no order at all.
    """
    torch.manual_seed(seed)
    return {
        'conv': (nn.Conv2d(3, 5, 3), [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        'wide': (nn.Conv2d(4, 8, (1, 2)), [7, 2, 0, 5, 3], [1, 4, 0, 2, 3]),
        'fc': (nn.Linear(6, 10), [9, 0, 3, 8, 1, 2, 4, 7, 6, 5], [0, 3, 3, 1, 2, 4, 0, 2, 4, 1]),
    }


def filters(maps: Maps) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each filter as (group's channel, its weights, all filters of its layer), in float64."""
    for module, index, root in maps.values():
        weights = module.weight.detach().double().numpy().reshape(len(module.weight), -1)
        for i, k in zip(index, root, strict=True):
            yield k, weights[i], weights


def best(scores, count: int) -> list[int]:
    """The ``count`` largest, by sorting; of equal ones the first."""
    return sorted(sorted(range(len(scores)), key=lambda k: (-scores[k], k))[:count])
