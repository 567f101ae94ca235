"""Modules that share one tensor: surgery on one of them would leave the other another weight."""

from torch import nn

from mmdet_lcp.graph.layer_kinds import kind_of


def sharing_one_tensor(detector: nn.Module) -> dict[str, str]:
    """Which modules stay because others have one of their parameters or buffers too.

    A module that several parents have, such as a head's layer for all levels, shares nothing: it
    is one module.

    Args:
        detector: any module.

    Returns:
        The reason by path, of modules whose channels lie along such a tensor.
    """
    places: dict[int, list[tuple[str, str]]] = {}
    counted: set[tuple[str, str]] = set()
    for path, module in detector.named_modules():
        kind = kind_of(module)
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None:
                places.setdefault(id(tensor), []).append((path, name))
                if kind is not None and name in kind.tensors:
                    counted.add((path, name))
    reasons: dict[str, str] = {}
    for same in places.values():
        if len({path for path, _ in same}) > 1:
            names = [f'{path}.{name}'.lstrip('.') for path, name in same]
            reason = f'{", ".join(names[:-1])} and {names[-1]} are one tensor'
            reasons.update((path, reason) for path, name in same if (path, name) in counted)
    return reasons
