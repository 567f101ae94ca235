"""Which layers a weight compression method changes, and which it leaves alone, with the reason."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmdet_lcp.config.keys import check_pattern
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.stage import Skipped
from mmdet_lcp.nearest import nearest_hint, without_escapes

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def weight_layers(detector: nn.Module) -> dict[str, nn.Module]:
    """Convolutions and linear layers by module path, in the order of the modules.

    A layer that stands at several places counts once, at the first.
    """
    return {path: m for path, m in detector.named_modules() if isinstance(m, LAYERS)}


def matching(found: Mapping[str, nn.Module], layers: str | Sequence[str], where: str) -> list[str]:
    """Layers that one of some regular expressions matches.

    Args:
        found: by `weight_layers`.
        layers: regular expression, or several, searched in the module paths.
        where: their config key, for messages.

    Raises:
        CompressionError: an expression is none or matches no layer.
    """
    patterns = [layers] if isinstance(layers, str) else list(layers)
    for pattern in patterns:
        check_pattern(pattern, where)
        if not any(re.search(pattern, path) for path in found):
            near = nearest_hint(without_escapes(pattern), found)
            raise CompressionError(
                f'{where}: {pattern!r} matches no layer. There are {len(found)} layers '
                f'with weights{near}'
            )
    return [path for path in found if any(re.search(pattern, path) for pattern in patterns)]


def choose_layers(
    detector: nn.Module,
    layers: str | Sequence[str],
    left_alone: Mapping[str, str],
    where: str,
) -> tuple[list[str], list[Skipped]]:
    """Apply a method's `layers` to a detector.

    Args:
        detector: a plain mmdet detector.
        layers: regular expression, or several, searched in the module paths.
        left_alone: module path to reason, of what the method never changes.
        where: the config key of the method, for messages.

    Returns:
        Module paths in the order of the modules, and all other layers with the reasons.

    Raises:
        CompressionError: an expression is none or matches no layer, or nothing is left.
    """
    found = weight_layers(detector)
    matched = matching(found, layers, f'{where}.layers')
    chosen, skipped = [], []
    for path in found:
        if path not in matched:
            skipped.append(Skipped(path, f'not in {where}.layers'))
        elif path in left_alone:
            skipped.append(Skipped(path, left_alone[path]))
        else:
            chosen.append(path)
    if not chosen:
        reasons = '\n'.join(f'  {item.name}: {item.reason}' for item in skipped)
        raise CompressionError(f'{where}: no layer is left to change; layer by layer:\n{reasons}')
    return chosen, skipped


def require_finite(path: str, weight: Tensor) -> None:
    """Refuse weights that no threshold or cluster can be found for.

    Args:
        path: of the layer.
        weight: any shape.

    Raises:
        CompressionError: some are infinite or NaN.
    """
    bad = int((~torch.isfinite(weight)).sum())
    if bad:
        raise CompressionError(
            f'{path}: {bad} of {weight.numel()} weights are infinite or NaN: the training has '
            'diverged; begin again with a smaller learning rate'
        )
