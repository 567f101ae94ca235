"""Scores by Torch-Pruning's importances (Fang et al., DepGraph, CVPR 2023).

An importance reads a group of Torch-Pruning's dependency graph. Here each layer is shown to it as
a group of its own, and `sum_by_channel` couples the layers: Torch-Pruning's own reductions take
the first layer alone, or expect one index a channel.
"""

from torch import Tensor
from torch_pruning import ops
from torch_pruning.dependency import Dependency, Group, Node
from torch_pruning.pruner import function
from torch_pruning.pruner.importance import Importance

from mmdet_lcp.pruning.problem.layer import Layer


def output_scores(importance: Importance, layer: Layer) -> Tensor:
    """An importance's scores of a layer's output channels.

    Args:
        importance: with ``group_reduction='first'`` and ``normalizer=None``, which leave one
            layer's scores as they are.
        layer: a producer, or a batch norm.

    Returns:
        One score for each entry of the layer's `index`, (len(index),), float32.
    """
    node = Node(layer.module, grad_fn=None)
    prune = function.PrunerBox[ops.module2type(layer.module)].prune_out_channels
    group = Group()
    group.add_dep(Dependency(prune, prune, node, node), layer.index.tolist())
    group[0].root_idxs = list(range(len(layer.index)))
    return importance(group)
