"""Whether a network can be pruned by a Python call, and copies of it."""

import inspect

import torch
from mmengine.model import is_model_wrapper
from torch import nn

from mmdet_lcp.copies import detached_copy
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.forward import takes_mode
from mmdet_lcp.graph.single_detector import check_single


def check_network(network: nn.Module) -> None:
    """Look for what keeps a network from being pruned, before anything is done with it.

    Raises:
        CompressionError: it is no module, a wrapper of one, several detectors, compiled, without
            weights or their values, in another than single precision, or its forward takes more
            than images.
    """
    name = type(network).__name__
    if not isinstance(network, nn.Module):
        raise CompressionError(f'the network must be a torch.nn.Module, not {name}')
    if isinstance(network, nn.DataParallel) or is_model_wrapper(network):
        raise CompressionError(f'{name} wraps a network: give its `module` instead')
    if isinstance(network, torch.jit.ScriptModule):
        raise CompressionError(
            f'{name} is compiled by torch.jit and cannot be cut: give the module that it was '
            'made of'
        )
    if isinstance(getattr(network, '_orig_mod', None), nn.Module):
        raise CompressionError(
            f'{name} is compiled by torch.compile and cannot be cut: give its `_orig_mod`, the '
            'module that it was made of'
        )
    check_single(network)
    weights = [p for p in network.parameters() if p.is_floating_point()]
    if not weights:
        raise CompressionError(f'{name} has no weights: there is nothing to prune')
    if any(weight.is_meta for weight in weights):
        raise CompressionError(
            f"{name} has weights on the device 'meta', without values: load them first"
        )
    other = next((weight.dtype for weight in weights if weight.dtype != torch.float32), None)
    if other is not None:
        raise CompressionError(
            f'{name} has weights of {other}: channels are scored in single precision. Prune '
            f'net.float() on images.float(), and turn the result back with .to({other})'
        )
    _check_forward(network)


def copied(network: nn.Module) -> nn.Module:
    """A deep copy; what it remembers of a training step is without its graph.

    Raises:
        CompressionError: there can be none.
    """
    try:
        return detached_copy(network)
    except Exception as error:  # of any kind: modules may hold anything
        raise CompressionError(
            f'{type(network).__name__} cannot be copied: {error}. Take off what keeps tensors '
            'that are computed from others, such as torch.nn.utils.weight_norm (that of '
            'torch.nn.utils.parametrizations can be copied)'
        ) from error


def _check_forward(network: nn.Module) -> None:
    """See that a forward pass takes images alone."""
    if takes_mode(network):
        return
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [
        parameter.name
        for parameter in inspect.signature(network.forward).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (*positional, inspect.Parameter.KEYWORD_ONLY)
    ]
    if len(needed) > 1:
        raise CompressionError(
            f'the forward of the {type(network).__name__} takes {len(needed)} inputs '
            f'({", ".join(needed)}), and networks are pruned that take one, a tensor '
            '(N, C, H, W): put it into a module whose forward does'
        )
