"""A detector is put back bit for bit, whatever was done with it."""

import copy

import pytest
import torch
from toys import chain

from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups, mask_plan
from mmdet_lcp.graph.workbench import cut, masked


@pytest.fixture
def network():
    torch.manual_seed(0)
    return chain().eval()


def plan_of(network) -> Plan:
    groups = [group for group in find_groups(network, (8, 8)) if group.obstacle is None]
    totals, plan = axis_sizes(network, groups), Plan()
    for group in groups:
        plan = plan.remove(group, [0, 2], totals)
    return plan


@pytest.mark.parametrize('fails', [False, True])
@pytest.mark.parametrize(('work', 'outright'), [(masked, mask_plan), (cut, apply_plan)])
@torch.no_grad()
def test_it_computes_the_same_meanwhile_and_is_the_same_afterwards(network, work, outright, fails):
    plan, x = plan_of(network), torch.randn(1, 3, 8, 8)
    expected = outright(copy.deepcopy(network), plan)(x)
    tensors = {key: (value, value.clone()) for key, value in network.state_dict().items()}
    own = {name: parameter for name, parameter in network.named_parameters()}
    texts = repr(network)
    hook = network[1].register_forward_hook(lambda *a: None)
    try:
        with work(network, plan) as changed:
            assert torch.equal(changed(x), expected)
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert repr(network) == texts  # numbers of channels too
    assert all(parameter is own[name] for name, parameter in network.named_parameters())
    for key, value in network.state_dict().items():
        assert torch.equal(value, tensors[key][1]), key
    assert len(network[1]._forward_hooks) == 1
    hook.remove()
    assert not network[1]._forward_hooks


def test_only_what_a_plan_names_gets_tensors_of_its_own(network):
    plan = plan_of(network)
    few = Plan({'1': plan.modules['1']})
    before = [module.weight for module in network]
    with masked(network, few):
        same = [module.weight is weight for module, weight in zip(network, before, strict=True)]
    assert same == [True, False, True, True, True, True]
