"""Tensors that several modules have, by hand."""

import torch
from torch import nn
from toys import Chain, by_name

from mmdet_lcp.graph.shared_tensors import sharing_one_tensor


def test_two_layers_with_one_weight():
    """The groups behind 0, 1 and 2 reach a layer with the weight; that behind 3 does not."""
    network = Chain(
        *(nn.Conv2d(a, b, 1) for a, b in [(3, 4), (4, 4), (4, 4), (4, 6), (6, 5), (5, 2)])
    )
    network[2].weight = network[1].weight
    reason = '1.weight and 2.weight are one tensor'
    assert sharing_one_tensor(network) == {'1': reason, '2': reason}
    obstacles = {name: group.obstacle for name, group in by_name(network).items()}
    assert obstacles == {
        '0': reason,
        '1': reason,
        '2': reason,
        '3': None,
        '4': None,
        '5': "its channels are the detector's outputs",
    }


def test_norms_and_modules_that_surgery_does_not_know():
    network = Chain(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1, bias=False), nn.ReLU(),
        nn.Conv2d(5, 2, 1),
    )  # fmt: skip
    network[3].register_buffer('mean', network[1].running_mean)
    reason = '1.running_mean and 3.mean are one tensor'
    assert sharing_one_tensor(network) == {'1': reason}
    groups = by_name(network)
    assert groups['0'].obstacle == reason
    assert groups['2'].obstacle is None


def test_one_module_in_two_places_is_one_module():
    conv = nn.Conv2d(4, 4, 1)
    network = Chain(nn.Conv2d(3, 4, 1), conv, conv, nn.Conv2d(4, 2, 1))
    assert sharing_one_tensor(network) == {}
    assert by_name(network)['0'].obstacle is None


def test_equal_values_are_not_one_tensor():
    network = Chain(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    network[1].weight = nn.Parameter(network[0].weight.detach().clone())
    assert torch.equal(network[1].weight, network[0].weight)
    assert sharing_one_tensor(network) == {}
