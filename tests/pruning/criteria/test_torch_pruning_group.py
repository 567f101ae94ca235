"""What Torch-Pruning's importances say about one layer."""

import pytest
import torch
from torch import nn
from torch_pruning.pruner.importance import BNScaleImportance, GroupMagnitudeImportance

from mmdet_lcp.pruning.criteria.torch_pruning_group import output_scores
from mmdet_lcp.pruning.problem.layer import Layer

MAGNITUDE = GroupMagnitudeImportance(p=1, group_reduction='first', normalizer=None)
SCALE = BNScaleImportance(group_reduction='first', normalizer=None)


@pytest.mark.parametrize(
    ('module', 'importance'),
    [
        (nn.Conv1d(2, 4, 3), MAGNITUDE),
        (nn.Conv2d(2, 4, 3), MAGNITUDE),
        (nn.Conv2d(4, 4, 1), MAGNITUDE),  # not to be taken for its input side
        (nn.Linear(3, 4), MAGNITUDE),
        (nn.BatchNorm1d(4), SCALE),
        (nn.BatchNorm2d(4), SCALE),
        (nn.SyncBatchNorm(4), SCALE),
    ],
)
def test_scores_follow_the_index(module, importance):
    size = module.weight[0].numel()
    values = torch.tensor([1.0, -2.0, 4.0, -8.0])
    module.weight.data = (
        (values / size).view(4, *[1] * (module.weight.dim() - 1)).expand_as(module.weight)
    )
    index = torch.tensor([3, 0, 2])
    # Roots are another matter: several of a layer's channels may have the same one.
    found = output_scores(importance, Layer(module, index, torch.tensor([1, 1, 0])))
    torch.testing.assert_close(found, torch.tensor([8.0, 1.0, 4.0]))
    assert index.tolist() == [3, 0, 2]
    assert not found.requires_grad
