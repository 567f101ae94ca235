"""Put a transform on a layer's weight, and fold it away again.

PyTorch's own parametrizations do the work; a folded layer is plain, its weight what was read last.
"""

from torch import nn
from torch.nn.utils import parametrize


def attach(module: nn.Module, transform: nn.Module, name: str = 'weight') -> None:
    """Let a layer read its weight through a transform from now on, after any that it has."""
    # Shapes stay, and a transform may not be idempotent: torch's check would run it once more.
    parametrize.register_parametrization(module, name, transform, unsafe=True)


def transforms_of(module: nn.Module, name: str = 'weight') -> list[nn.Module]:
    """The transforms of a layer's weight, in the order in which they are applied."""
    if not parametrize.is_parametrized(module, name):
        return []
    return list(module.parametrizations[name])


def fold(model: nn.Module) -> nn.Module:
    """Write into every layer of a model the weight that it reads, and take the transforms off.

    Returns:
        The same model, without parametrizations.
    """
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            _own_class(module)
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return model


def _own_class(module: nn.Module) -> None:
    """Give a parametrized layer a class of its own.

    PyTorch makes one for each, with the tensor as a property, but a deep copy shares that of its
    original, which would lose the property along with the copy.
    """
    shared = type(module)
    own = {key: v for key, v in vars(shared).items() if key not in ('__dict__', '__weakref__')}
    module.__class__ = type(shared.__name__, shared.__bases__, own)
