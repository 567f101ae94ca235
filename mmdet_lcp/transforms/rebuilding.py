"""Put a detector's transforms back where they were, from plain data and a state dict.

A checkpoint holds the tensors of a transformed detector, not which transforms it has. Plain data
beside it says this, so that nothing is pickled.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mmdet_lcp.registry import TRANSFORMS
from mmdet_lcp.transforms.attach import attach
from mmdet_lcp.transforms.input_transform import input_transforms, rebuild_inputs


def describe(model: nn.Module) -> dict[str, Any]:
    """Say which transforms a model has, and which of its parameters are frozen.

    Returns:
        JSON-like data: ``transforms``: (module path, tensor name, [spec of each transform in
        order]) lists, a spec being what `TRANSFORMS` builds the transform from; ``inputs``: the
        spec of each input transform by the path of its layer; ``frozen``: names of parameters that
        are not trained.
    """
    found = []
    for path, module in model.named_modules():
        if not parametrize.is_parametrized(module):
            continue
        for name, chain in module.parametrizations.items():
            found.append([path, name, [transform.spec() for transform in chain]])
    frozen = [name for name, value in model.named_parameters() if not value.requires_grad]
    inputs = {path: transform.spec() for path, transform in input_transforms(model).items()}
    return {'transforms': found, 'inputs': inputs, 'frozen': frozen}


def rebuild(model: nn.Module, described: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Bring a plain model into the state that `describe` saw.

    Args:
        model: the same model without transforms, changed in place.
        described: by `describe`.
        weights: the state dict of the transformed model.
    """
    for path, name, specs in described['transforms']:
        module = model.get_submodule(path)
        for spec in specs:
            shape = getattr(module, name).shape
            with torch.no_grad():
                attach(module, TRANSFORMS.get(spec['type']).from_spec(spec, shape), name)
    there = input_transforms(model)  # of a model whose config brings them
    missing = {path: spec for path, spec in described['inputs'].items() if path not in there}
    rebuild_inputs(model, missing)  # behind the others, as methods attach them: optimizers count
    model.load_state_dict(weights)
    frozen = set(described['frozen'])
    for name, value in model.named_parameters():
        value.requires_grad_(name not in frozen)
