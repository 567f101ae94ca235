"""What an input transform has to survive: copies, folding, plain data."""

import copy

import pytest
import torch
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.transforms import (
    BinaryInput,
    attach_input,
    fold,
    input_transforms,
    rebuild_inputs,
)


def test_the_gradient_reaches_what_is_below(model):
    model(torch.randn(2, 3, 8, 8)).square().sum().backward()
    for name, value in model.named_parameters():
        assert value.grad is not None and float(value.grad.abs().sum()) > 0, name


def test_copies_have_transforms_of_their_own(model):
    x = torch.randn(2, 3, 8, 8)
    model(x)  # leaves no graph behind that could not be copied
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[2].input_transform.norm.bias += 1
    model.eval(), twin.eval()
    assert not torch.equal(model(x), twin(x))
    assert torch.equal(model[2].input_transform.norm.bias, torch.zeros(4))


def test_folding_a_copy_leaves_the_original(model):
    model.eval()
    x = torch.randn(2, 3, 8, 8)
    expected = model(x)
    folded = fold(copy.deepcopy(model))
    assert torch.equal(folded(x), expected)
    assert torch.equal(model(x), expected)
    assert 'parametrizations' not in ''.join(folded.state_dict())
    assert list(input_transforms(folded)) == ['2']
    # A folded one is plain but for its input transform: rebuilt from that alone.
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1)).eval()
    rebuild_inputs(plain, {'2': {'type': 'BinaryInput', 'scaling': True}})
    plain.load_state_dict(folded.state_dict())
    assert torch.equal(plain.eval()(x), expected)


@pytest.mark.parametrize(
    ('specs', 'words'),
    [
        ({'9': {'type': 'BinaryInput', 'scaling': True}}, "no layer '9'"),
        ({'1': {'type': 'BinaryInput', 'scaling': True}}, '1: the input of ReLU cannot be binary'),
        ({'0': {'type': 'BinaryInput'}}, '0: .*needs scaling'),
        ({'0': {'type': 'LowBitWeight'}}, '0: .*no input transform'),
        ({'0': {}}, '0: .*no input transform'),
    ],
)
def test_specs_that_do_not_fit(specs, words):
    with pytest.raises(CompressionError, match=words):
        rebuild_inputs(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), specs)


def test_one_layer_has_one_input_transform(model):
    with pytest.raises(CompressionError, match='already'):
        attach_input(model[2], BinaryInput.for_layer(model[2], scaling=False))
