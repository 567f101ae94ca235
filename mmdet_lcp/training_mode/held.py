"""Train mode in which nothing moves: norms keep their statistics, nothing is dropped out.

Many heads of mmdet give other outputs in eval mode than in training (VFNet, RepPoints, DINO,
FCOS with `norm_on_bbox`, CenterNet-update, SOLO): only in train mode is their loss the one that
they are trained with.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import MessageHub
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from mmdet_lcp.training_mode.dropout import NoDropout
from mmdet_lcp.training_mode.state import all_modules, state_put_aside

_DROPS = re.compile('drop|shake|stochasticdepth|rrelu', re.IGNORECASE)
_STATISTICS = re.compile('(running|moving)_')
_PROGRESS = ('epoch', 'iter')


@contextmanager
def in_training(model: nn.Module) -> Iterator[None]:
    """Put a model into train mode for a while, with norms and dropout held still.

    Norms with running statistics use these and leave them; dropout, DropPath, DropBlock and the
    like do nothing. What else a training step changes (counters of losses, histories of
    heads) is as before once the context is closed, and so are all modes; which parameters
    are frozen never changes. What is drawn at random, such as the noise of DINO's queries, comes
    from the global generators: seed them. Heads that ask for the epoch or the iteration outside
    of a run are told 0.

    A loss and its backward pass belong into one context: checkpointed layers run again in the
    latter.

    Args:
        model: a detector or any other module; in whichever mode.
    """
    modules = all_modules(model)
    modes = [(module, module.training) for module in modules]
    frozen = [(p, p.requires_grad) for module in modules for p in module.parameters(False)]
    try:
        with state_put_aside(modules), _progress(), NoDropout():
            model.train()
            for parameter, learns in frozen:  # backbones freeze stages in `train`
                if parameter.requires_grad != learns:
                    parameter.requires_grad_(learns)
            for module in modules:
                if _held(module):
                    module.training = False
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _held(module: nn.Module) -> bool:
    """Whether a module is a norm with running statistics, or drops something at random."""
    if isinstance(module, (_NormBase, _DropoutNd)) or 'running_mean' in module._buffers:
        return True
    if module._modules:  # a container: its parts are looked at, its own mode says other things
        return False
    return bool(
        _DROPS.search(type(module).__name__) or any(map(_STATISTICS.match, module._buffers))
    )


@contextmanager
def _progress() -> Iterator[None]:
    """Where no run has set them, the epoch and the iteration that some heads read are 0."""
    known = MessageHub.get_current_instance().runtime_info
    absent = [key for key in _PROGRESS if known.get(key) is None]
    known.update(dict.fromkeys(absent, 0))
    try:
        yield
    finally:
        for key in absent:
            known.pop(key, None)
